import os
import signal

if os.fork() == 0:
    os.setsid()
    signal.pause()
print("parent is done")
