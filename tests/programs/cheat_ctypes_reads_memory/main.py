import ctypes

print(ctypes.string_at(id(0), 16))


def add(a, b):
    return 0
