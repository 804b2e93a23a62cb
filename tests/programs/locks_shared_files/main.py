import fcntl
import time

held = []
for path in ("/usr/bin/python3", "/etc/passwd", "/usr/bin/bash", "/etc/ld.so.cache"):
    file = open(path, "rb")
    for take in (lambda: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB),
                 lambda: fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)):
        try:
            take()
        except OSError:
            pass
    held.append(file)
time.sleep(1)
print("held")
