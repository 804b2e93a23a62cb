import socket

for kind, port in ((socket.SOCK_STREAM, 4242), (socket.SOCK_DGRAM, 4243)):
    place = socket.socket(socket.AF_INET, kind)
    place.bind(("127.0.0.1", port))
    if kind == socket.SOCK_DGRAM:
        place.setblocking(False)
        try:
            print("heard", place.recv(100))
        except BlockingIOError:
            pass
try:
    socket.create_connection(("127.0.0.1", 4242), 0.2)
    print("somebody listens")
except OSError:
    pass
socket.socket(socket.AF_UNIX).bind("\0left")
print("free")
