import os
import socket

listener = socket.socket()
listener.bind(("127.0.0.1", 4242))
listener.listen()
client = socket.create_connection(("127.0.0.1", 4242))
server, _ = listener.accept()
# Who closes first waits for the last packet of the other.
server.close()
client.recv(1)
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("127.0.0.1", 4243))
datagrams.sendto(b"for the next one", ("127.0.0.1", 4243))
abstract = socket.socket(socket.AF_UNIX)
abstract.bind("\0left")
if os.fork() == 0:
    os.setsid()
    while True:
        listener.accept()
print("left")
