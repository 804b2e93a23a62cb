import os

pid = os.fork()
if pid == 0:
    blocks = []
    while True:
        blocks.append(bytearray(1 << 20))
os.waitpid(pid, 0)
print("all is well")
