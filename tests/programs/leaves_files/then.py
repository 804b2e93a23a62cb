import os

found = []
for root in ("/w", "/tmp", "/dev/shm", "/var/tmp", "/run", "/dev"):
    for folder, folders, files in os.walk(root):
        found += [os.path.join(folder, name) for name in files + folders
                  if name in ("left-behind", "sitecustomize.py", ".hidden")]
print("found", found)
