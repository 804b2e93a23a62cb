import os
import subprocess

for count in (1, 10, 100, 1000):
    try:
        subprocess.run(["/usr/bin/env", "true"] + ["x" * 100000] * count, check=False)
    except OSError:
        break
print("done")
