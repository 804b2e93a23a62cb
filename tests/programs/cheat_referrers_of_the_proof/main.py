import gc
import os

for thing in gc.get_referrers(os.write):
    print(thing)


def add(a, b):
    return 0
