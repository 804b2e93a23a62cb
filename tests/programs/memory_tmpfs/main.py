import os

full = 0
for folder in ("/w", "/tmp", "/dev/shm"):
    written = 0
    try:
        with open(os.path.join(folder, "fill"), "wb") as file:
            while written < 1 << 30:
                written += file.write(b"x" * (1 << 20))
                file.flush()
    except OSError:
        full += 1
print("REFUSED" if full == 3 else "ESCAPED")
