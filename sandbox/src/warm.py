# Waits inside an interpreter's start-up, and lets each run go on from there.
#
# The resident starts this interpreter with the argv and environment of the runs to come, and puts
# this module where `site` looks for `usercustomize`, so that it is imported when the interpreter is up
# and before it has looked for its program. Here it loads what programs often import, and then serves requests. For
# each it makes a copy of itself, as a child of the resident and in a new ipc namespace; the copy
# gives up what a cold start gives up and returns, and the interpreter goes on in its own code: it
# finds the program, makes `__main__`, runs it and ends as if it had just been started.
#
# What is left of this in a copy are the modules that were loaded, and an exit handler.

# An interpreter's end takes everything apart, and to write to a page that is shared with the template is
# to copy it: that would be half of what a short program costs. Two things make it short.


def keep(gc, libc, modules):
    """Adds references that nobody will give back, so that what all copies share is never taken apart."""
    kinds = [object]
    for kind in kinds:
        kinds += type.__subclasses__(kind)
    for thing in modules + kinds:
        parts = gc.get_referents(thing.__dict__) if isinstance(thing, type) else [thing.__dict__]
        for part in (thing, *parts):
            libc.Py_IncRef(part)
    libc.Py_IncRef(kinds)


def shortcut(sys, libc):
    """Returns the last exit handler. It forgets the template's modules. And where the program has run to
    its last line, which means that the status is 0, it has the process end as soon as the program's own
    modules have been taken apart, with all that this prints; else the interpreter ends as it always does.
    """
    modules, interpreter = sys.modules, sys.__dict__
    builtins = modules["builtins"].__dict__
    lasting = ("__main__", "builtins", "sys", "_frozen_importlib")
    shared = [name for name in modules if name not in lasting]
    sizes = len(interpreter), len(builtins)
    streams = "stdout", "stderr"

    def flush():
        for name in streams:
            file = interpreter[name]
            if file is not None and not file.closed:
                file.flush()

    class End:
        def __del__(self):
            try:
                flush()
            except BaseException:
                return
            libc.exit(0)

    def end():
        for name in shared:
            modules.pop(name, None)
        # After the last line, and not after sys.exit, the interpreter removes these names
        # (Python/pythonrun.c, _PyRun_SimpleFileObject); after an exception it sets last_type.
        # Nothing here may hold on to the program's module.
        main = getattr(modules.get("__main__"), "__dict__", ("__file__",))
        if "__file__" in main or "__cached__" in main or "last_type" in interpreter:
            return
        # Objects that the program has hung there are taken apart later.
        if (len(interpreter), len(builtins)) != sizes:
            return
        if any(interpreter[name] is not interpreter[f"__{name}__"] for name in streams):
            return
        try:
            flush()
        except BaseException:
            return
        # Modules are taken apart in the order of this table, backwards: this one is the last.
        last.__dict__["end"] = End()
        modules["_frozen_importlib"] = last

    last = type(sys)("last")
    for thing in (last, End, end, flush):
        libc.Py_IncRef(thing)
    return end


def serve(preload):
    import atexit
    import gc
    import os
    import sys

    # Registered first, so called last: after what the program registers.
    at_the_end = []
    atexit.register(lambda: [step() for step in at_the_end])
    # As root of the slot it could write where programs cannot.
    keeps_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    for name in preload:
        __import__(name)
    sys.dont_write_bytecode = keeps_bytecode
    loaded = set(sys.modules)
    import _ctypes
    import _socket
    import ctypes
    import resource

    libc = ctypes.PyDLL(None, use_errno=True)
    before, in_parent, in_child = (
        libc.PyOS_BeforeFork, libc.PyOS_AfterFork_Parent, libc.PyOS_AfterFork_Child)
    for function in (before, in_parent, in_child):
        function.restype = None
    untrack, track = libc.PyObject_GC_UnTrack, libc.PyObject_GC_Track
    for function in (untrack, track, libc.Py_IncRef):
        function.restype, function.argtypes = None, [ctypes.py_object]
    call = libc.syscall
    call.restype = ctypes.c_long
    call.argtypes = [ctypes.c_long] * 6
    CLONE, PRCTL, CAPSET, SECCOMP, CLONE3, CLOSE_RANGE = 56, 157, 126, 317, 435, 436
    FLAGS = 0x8000 | 0x08000000  # CLONE_PARENT | CLONE_NEWIPC
    INTO_CGROUP, SIGCHLD, SET_MODE_FILTER = 0x200000000, 17, 1
    SET_SECUREBITS, SET_DUMPABLE, AMBIENT, AMBIENT_CLEAR = 28, 4, 47, 4
    header = ctypes.create_string_buffer(b"\x22\x05\x08\x20\0\0\0\0", 8)  # version 3, this process
    nothing = ctypes.create_string_buffer(24)
    # struct clone_args, linux/sched.h: flags first, the group's folder last; struct sock_fprog.
    request, program = ctypes.create_string_buffer(88), ctypes.create_string_buffer(16)
    buffer_of, address_of = ctypes.create_string_buffer, ctypes.addressof
    header_at, nothing_at = ctypes.addressof(header), ctypes.addressof(nothing)
    get_errno = ctypes.get_errno

    def check(result):
        if result < 0:
            error = get_errno()
            raise OSError(error, os.strerror(error))
        return result

    def numbers(data):
        return [int.from_bytes(data[at:at + 8], "little") for at in range(0, len(data), 8)]

    control = _socket.socket(fileno=3)
    receive, send = control.recvmsg, control.send
    rights = _socket.CMSG_SPACE(8 * 4)
    set_limit, user = resource.setrlimit, 1000

    # What only this module needed; extension modules stay, they cannot be loaded twice.
    for name in [name for name in sys.modules if name not in loaded and not name.startswith("_")]:
        del sys.modules[name]
    sys.path[:] = [entry for entry in sys.path if not entry.startswith("/w/")]
    sys.path_importer_cache.clear()
    os.chdir("/")
    at_the_end.append(shortcut(sys, libc))
    others = [module for name, module in sys.modules.items() if name != "__main__"]
    keep(gc, libc, [ctypes, _ctypes, resource, _socket, *others])
    gc.collect()
    gc.freeze()
    # What a program makes hangs on its module, which the collector must see when it ends: frozen, its
    # objects would not be finalized.
    for thing in (sys.modules["__main__"], sys.modules["__main__"].__dict__):
        untrack(thing)
        track(thing)
    send(b"ready")

    def copy(fds, filtered):
        # With a filter to add comes one folder, to be cloned into; else files, to be written to.
        if not filtered:
            return call(CLONE, FLAGS | SIGCHLD, 0, 0, 0, 0)
        request[0:8] = (FLAGS | INTO_CGROUP).to_bytes(8, "little")
        request[80:88] = fds[3].to_bytes(8, "little")
        return call(CLONE3, address_of(request), 88, 0, 0, 0)

    def add_filter(instructions):
        code = buffer_of(instructions, len(instructions))
        program[0:8] = (len(instructions) // 8).to_bytes(8, "little")
        program[8:16] = address_of(code).to_bytes(8, "little")
        check(call(SECCOMP, SET_MODE_FILTER, 0, address_of(program), 0, 0))

    def become(data, fds, filter_ends):
        os.setsid()
        for number in range(3):
            os.dup2(fds[number], number)
        os.umask(0o022)
        os.chdir("/w")
        filter, secure_bits = data[16:filter_ends], numbers(data[:8])[0]
        limits = numbers(data[filter_ends:])
        for group in fds[3:] if not filter else ():
            os.write(group, b"0")
        check(call(PRCTL, SET_SECUREBITS, secure_bits, 0, 0, 0))
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        check(call(PRCTL, AMBIENT, AMBIENT_CLEAR, 0, 0, 0))
        check(call(CAPSET, header_at, nothing_at, 0, 0, 0))
        # A program that was exec'ed by its own user may look at itself.
        check(call(PRCTL, SET_DUMPABLE, 1, 0, 0, 0))
        for at in range(0, len(limits), 2):
            set_limit(limits[at], (limits[at + 1], limits[at + 1]))
        if filter:
            add_filter(filter)
        send(os.getpid().to_bytes(8, "little"))
        control.detach()
        check(call(CLOSE_RANGE, 3, 0x7fffffff, 0, 0, 0))

    while True:
        data, ancillary, _, _ = receive(1024, rights)
        if not data:
            os._exit(0)
        descriptors = b"".join(part for _, _, part in ancillary)
        fds = [int.from_bytes(descriptors[at:at + 4], "little")
               for at in range(0, len(descriptors), 4)]
        filter_ends = 16 + numbers(data[8:16])[0]
        before()
        pid = copy(fds, filter_ends > 16)
        if pid == 0:
            try:
                in_child()
                become(data, fds, filter_ends)
            except BaseException as error:
                number = getattr(error, "errno", None) or 5
                send((-number).to_bytes(8, "little", signed=True))
                os._exit(127)
            return
        error = get_errno()
        in_parent()
        for fd in fds:
            os.close(fd)
        if pid < 0:
            send((-error).to_bytes(8, "little", signed=True))
