import os
import struct

# One user, the owning group and others may do all: version 2, then tag, permissions and id each.
ENTRIES = [(1, 7, 0xFFFFFFFF), (2, 7, 12345), (4, 7, 0xFFFFFFFF), (16, 7, 0xFFFFFFFF), (32, 7, 0xFFFFFFFF)]
ACCESS_LIST = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in ENTRIES)

for folder in ("/w", "/tmp", "/dev/shm"):
    for trick in (
        lambda: os.setxattr(folder, "user.left", b"behind"),
        lambda: os.setxattr(folder, "system.posix_acl_default", ACCESS_LIST),
        lambda: os.utime(folder, (1, 1)),
        lambda: os.chmod(folder, 0o1777),
    ):
        try:
            trick()
        except OSError:
            pass
print("left")
