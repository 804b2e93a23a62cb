import os
import socket

for folder in ("/w", "/tmp", "/dev/shm"):
    os.chdir(folder)
    os.mkfifo("fifo")
    socket.socket(socket.AF_UNIX).bind("socket")
    with open("file", "w") as file:
        file.write("x" * 100_000)
    for number in range(50):
        os.link("file", f"link{number}")
    os.symlink("/proc/self/exe", "symlink")
    os.symlink("symlink-to-itself", "symlink-to-itself")
    for name in (b"\n", b"\xff\xfe", b"-rf", b"\x01" * 255, b".. "):
        os.mkdir(name)
    os.makedirs("closed/inner")
    os.chmod("closed", 0)
    held = os.open("deleted", os.O_RDWR | os.O_CREAT)
    os.write(held, b"y" * 100_000)
    os.unlink("deleted")
if os.fork() == 0:
    # Holds what was deleted until it is killed.
    os.setsid()
    import signal
    signal.pause()
print("left")
