def add(a, b):
    with open("/proc/self/maps") as maps:
        print(maps.read())
    return 0
