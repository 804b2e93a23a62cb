import fcntl
import os

for fd in (0, 1, 2):
    for trick in (
        lambda: os.ftruncate(fd, 0),
        lambda: os.lseek(fd, 0, os.SEEK_END),
        lambda: fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK | os.O_APPEND),
        lambda: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB),
        lambda: os.fchmod(fd, 0),
        lambda: os.write(fd, b"") if fd else os.write(0, b"changed"),
    ):
        try:
            trick()
        except OSError:
            pass
os.write(1, b"done\n")
