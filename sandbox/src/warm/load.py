# Loads what programs often import into an interpreter that is to wait, before anything else is there.
#
# The resident starts this interpreter with the argv and environment of the runs to come, and puts
# this module where `site` looks for `usercustomize`, so that it is imported when the interpreter is up
# and before it has looked for its program. Then hold.py is run, which waits and lets each run go on.
#
# Copies pay for each page that they write to, and for each that what they use is spread over. So what is
# loaded lies together, in memory that can become huge pages, and the free places in between are
# filled at the end, so that what a program makes lies together as well.

# What libraries set up when they are first used, rather than when they are loaded.
FIRST_USES = {
    "numpy": "import numpy; numpy.linalg.det(numpy.eye(2))",
    "sympy": "import sympy; sympy.expand((sympy.Symbol('x') + 1) ** 2)",
}
PAGE, HUGE_PAGE = 4096, 2 << 20
READ, WRITE, EXECUTE = 1, 2, 4
PRIVATE, ANONYMOUS, NO_RESERVE = 2, 0x20, 0x4000


def lay_code(ctypes, libc, machine_code, buffer_bytes):
    """Puts machine code into a page of its own, with a buffer behind it."""
    libc.mmap.restype, address, size = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t
    libc.mmap.argtypes = [address, size, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mprotect.argtypes = libc.madvise.argtypes = [address, size, ctypes.c_int]
    libc.munmap.argtypes = [address, size]
    code = libc.mmap(None, PAGE + buffer_bytes, READ | WRITE, PRIVATE | ANONYMOUS, -1, 0)
    ctypes.memmove(code, machine_code, len(machine_code))
    if libc.mprotect(code, PAGE, READ | EXECUTE):
        raise OSError
    return code


def lay_together(ctypes, libc, take, give):
    """Has the interpreter take its memory from one range, which begins where a huge page does. Returns
    what ends that."""
    size = 1 << 30
    start = libc.mmap(None, size, READ | WRITE, PRIVATE | ANONYMOUS | NO_RESERVE, -1, 0)
    end, first = start + size, -(-start // HUGE_PAGE) * HUGE_PAGE
    range_left = (ctypes.c_size_t * 3)(first, end, 0)
    usual, ours = (ctypes.c_void_p * 3)(), (ctypes.c_void_p * 3)()
    libc.PyObject_GetArenaAllocator(usual)
    ours[:] = ctypes.addressof(range_left), take, give
    libc.PyObject_SetArenaAllocator(ours)

    def stop():
        libc.PyObject_SetArenaAllocator(usual)
        last = -(-range_left[0] // HUGE_PAGE) * HUGE_PAGE
        for begin, behind in ((start, first), (last, end)):
            if begin < behind:
                libc.munmap(begin, behind - begin)

    return stop


def fill_holes(ctypes, libc):
    """Takes the free places between what is in use, so that copies use fresh memory, and little of it."""
    taken = []
    for size in range(16, 513, 16):
        place, in_a_row = 0, 0
        for _ in range(1 << 14):
            thing = object() if size == 16 else (1 << 29) + size if size == 32 else bytes(size - 33)
            in_a_row = in_a_row + 1 if id(thing) == place + size else 0
            place = id(thing)
            taken.append(thing)
            if in_a_row == 8:
                break
    libc.Py_IncRef(taken)
    allocate, brk = libc.malloc, libc.sbrk
    for function in (allocate, brk):
        function.restype = ctypes.c_size_t
    allocate.argtypes, brk.argtypes = [ctypes.c_size_t], [ctypes.c_ssize_t]
    end = brk(0)
    for size in (65536, 16384, 8192, 4096, 2048, 1024, 768, 640, 528):
        for _ in range(1 << 10):
            if not 0 < allocate(size) < end - (256 << 10):
                break


def load(preload, folders, machine_code, allocator_at, buffer_bytes, hold):
    """Returns what `hold` makes of it: a text of Python whose function `hold_here` is called."""
    import atexit
    import os
    import sys

    # Registered first, so called last: after what the program registers.
    at_the_end, in_copies = [], []
    atexit.register(lambda: [step() for step in at_the_end])

    known = set(sys.modules)
    import _ctypes
    import ctypes

    libc = ctypes.PyDLL(None)
    libc.Py_IncRef.restype, libc.Py_IncRef.argtypes = None, [ctypes.py_object]
    # What only this module needs; extension modules stay, they cannot be loaded twice.
    for name in [name for name in sys.modules if name not in known and not name.startswith("_")]:
        del sys.modules[name]
    code = lay_code(ctypes, libc, machine_code, buffer_bytes)
    stop_laying_together = lay_together(ctypes, libc, *(code + at for at in allocator_at))

    # What modules have to do in a copy, such as to draw other random numbers; for a program's own
    # copies it stays registered as well. Locks need not be made anew: nobody holds any, here is one thread.
    register = os.register_at_fork

    def register_here(**functions):
        register(**functions)
        function = functions.get("after_in_child")
        of_locks = (getattr(function, "__module__", None) in ("threading", "logging")
                    or getattr(function, "__name__", None) == "_at_fork_reinit")
        if function is not None and not of_locks:
            in_copies.append(function)

    os.register_at_fork = register_here
    # As root of the slot it could write where programs cannot.
    keeps_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path[:0] = folders
    for name in preload:
        __import__(name)
    del sys.path[:len(folders)]
    for name, use in FIRST_USES.items():
        if name in sys.modules:
            try:
                exec(use, {})
            except Exception:
                pass
    sys.dont_write_bytecode = keeps_bytecode
    os.register_at_fork = register
    if "threading" in sys.modules:
        # It remembers which thread of the system's that is.
        in_copies.append(sys.modules["threading"].main_thread()._set_native_id)
    if "numpy.random" in sys.modules:
        seed, bytes_of_chance, number = sys.modules["numpy.random"].seed, os.urandom, int.from_bytes
        in_copies.append(lambda: seed(number(bytes_of_chance(4), "little")))
    stop_laying_together()

    names = {}
    exec(compile(hold, "<hold>", "exec"), names)
    libc.Py_IncRef(names)
    return names["hold_here"](ctypes, libc, fill_holes, code, in_copies, at_the_end)
