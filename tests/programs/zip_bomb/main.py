import io
import zipfile

packed = io.BytesIO()
with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("zeros", bytes(32 << 20))
with zipfile.ZipFile(packed) as archive:
    for number in range(64):
        try:
            with archive.open("zeros") as source, open(f"/w/{number}", "wb") as target:
                while block := source.read(1 << 20):
                    target.write(block)
        except OSError:
            print("REFUSED")
            break
    else:
        print("ESCAPED")
