import sys

frames = []
sys.addaudithook(lambda event, arguments: frames.extend(a for a in arguments if hasattr(a, "f_back")))


def add(a, b):
    return 0
