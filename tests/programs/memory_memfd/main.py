import os

held = []
while True:
    fd = os.memfd_create("bomb")
    held.append(fd)
    os.write(fd, b"x" * (4 << 20))
