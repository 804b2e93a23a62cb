import os

PATHS = [
    "/etc/ld.so.preload", "/etc/passwd", "/etc/shadow", "/usr/bin/python3", "/usr/lib/evil",
    "/usr/lib/python3/dist-packages/sitecustomize.py", "/bin/sh", "/lib64/ld-linux-x86-64.so.2",
    "/root/x", "/box/x", "/x", "/proc/x", "/sys/x", "/dev/x", "/run/x", "/var/x", "/home/x",
    "/etc/x", "/dev/shm/../x", "/proc/self/root/x", "/proc/self/cwd/../x", "/opt/x", "/mnt/x",
]

for path in PATHS:
    for flags in (os.O_WRONLY, os.O_WRONLY | os.O_CREAT, os.O_RDWR | os.O_APPEND):
        try:
            os.close(os.open(path, flags, 0o777))
        except OSError:
            continue
        print("ESCAPED", path)
print("REFUSED")
