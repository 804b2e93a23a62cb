import os
import subprocess
import sys

subprocess.run([sys.executable, "-c", f"print(open('/proc/{os.getpid()}/mem','rb'))"])


def add(a, b):
    return 0
