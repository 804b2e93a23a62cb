import os

found = []
for folder in ("/w", "/tmp", "/dev/shm"):
    try:
        found += os.listxattr(folder)
    except OSError:
        pass
    if os.stat(folder).st_mtime < 1000:
        found.append("mtime of " + folder)
print("found", found)
