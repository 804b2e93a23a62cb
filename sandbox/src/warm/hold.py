# Holds an interpreter in the middle of its start-up, and lets each run go on from there.
#
# It waits when the interpreter looks at its program's path, in machine code (kernel/template.rs) that serves
# requests: for each it makes a copy of the process, as a child of the resident and in a new ipc namespace;
# the copy gives up what a cold start gives up and returns, and the interpreter goes on in its own
# code: it opens the program, makes `__main__`, runs it and ends as if it had just been started.
#
# What is left of this in a copy are the modules that were loaded, and an exit handler. Nothing here may be taken
# apart in a copy: to write to a page that is shared with the template is to copy it, and to give back
# a reference is to write.

# Objects that a program may hold for the short end: looking at them takes some milliseconds at most.
BLOCKS_MAX = 200_000
HUGE_PAGE = 2 << 20


def finalizes(kind, mro=type.__dict__["__mro__"].__get__, names=type.__dict__["__dict__"].__get__):
    """Whether an object of this type would notice its end. Asks no code of the program's."""
    return any("__del__" in names(base) for base in mro(kind))


def keep(gc, libc, modules, noticed):
    """Adds references that nobody will give back, so that what all copies share is never taken apart.
    Returns the types whose objects may be dropped without a word; never those in `noticed`."""
    kinds = [object]
    for kind in kinds:
        kinds += type.__subclasses__(kind)
    for thing in modules + kinds:
        parts = gc.get_referents(thing.__dict__) if isinstance(thing, type) else [thing.__dict__]
        for part in (thing, *parts):
            libc.Py_IncRef(part)
    silent = frozenset(kind for kind in kinds
                       if not finalizes(kind) and not issubclass(kind, (type, *noticed)))
    for thing in (kinds, modules, silent):
        libc.Py_IncRef(thing)
    return silent


def content_of(ctypes):
    """Returns a function that exchanges the content of two dictionaries without touching what is in them
    (Include/cpython/dictobject.h), or None if this interpreter's are made otherwise."""
    space = ctypes.create_string_buffer(32)
    at, head, move = ctypes.addressof(space), object.__basicsize__, ctypes.memmove

    def exchange(one, other):
        move(at, id(one) + head, 32)
        move(id(one) + head, id(other) + head, 32)
        move(id(other) + head, at, 32)

    exchange.space = space
    one, other = {"a": 1, "b": 2}, {3: "c"}
    if dict.__basicsize__ != head + 32:
        return None
    exchange(one, other)
    return exchange if (one, other) == ({3: "c"}, {"a": 1, "b": 2}) else None


def shortcut(sys, libc, gc, silent, noticed, exchange):
    """Returns the last exit handler. Where the program has run to its last line, which means that the
    status is 0, it ends the process: at once if no object would notice, else as soon as the
    program's own modules have been taken apart, with all that this prints. Else the interpreter ends as it
    always does.
    """
    modules, interpreter = sys.modules, sys.__dict__
    builtins = modules["builtins"].__dict__
    external = modules["_frozen_importlib_external"].__dict__
    loaders = external["SourceFileLoader"], type(None)
    sizes, loaded = (len(interpreter), len(builtins)), len(modules)
    blocks_max = sys.getallocatedblocks() + BLOCKS_MAX
    audit, blocks, objects = sys.audit, sys.getallocatedblocks, gc.get_objects
    counts, statistics = gc.get_count, gc.get_stats
    full_collections = statistics()[2]["collections"] + 1
    callbacks, debug, leave = gc.callbacks, gc.get_debug, modules["posix"]._exit
    finalizes_too, (reference, function), module = finalizes, noticed, type(sys)
    lasting = {name: modules[name] for name in ("_frozen_importlib", "builtins", "sys")}
    newest = next(reversed(modules))
    spare = {}
    flush_native, calls_c = libc.fflush, "ctypes" in modules

    def flush():
        # What cannot be flushed is for the interpreter's own end to tell.
        interpreter["stdout"].flush()
        interpreter["stderr"].flush()

    def may_be_many():
        """Whether the program holds so many objects that they are not to be looked at."""
        young, _, old = counts()
        # To count them is to walk through all that the template has as well.
        if young < BLOCKS_MAX and not old:
            if statistics()[2]["collections"] == full_collections:
                return False
        return blocks() > blocks_max

    def unnoticed():
        """Whether nothing that the program has made would notice its end."""
        try:
            # Whoever listens to what an interpreter does would hear of the look at its objects. With
            # nobody listening the wrong type of this is not noticed.
            audit(0)
        except TypeError:
            return False
        if callbacks or debug() or may_be_many():
            return False
        # Of what is written in C and was loaded later we know nothing.
        if not calls_c and "ctypes" in modules:
            return False
        if len(modules) != loaded and not all(map(is_source, added())):
            return False
        made = objects()
        for kind in set(map(type, made)) - silent:
            if kind is reference:
                if any(type(thing) is kind and thing.__callback__ is not None for thing in made):
                    return False
            elif finalizes_too(kind) or issubclass(kind, noticed):
                return False
            elif issubclass(kind, type):
                if any(type(thing) is kind and (finalizes_too(thing) or issubclass(thing, function))
                       for thing in made):
                    return False
        return True

    def is_source(thing):
        return type(thing) is module and type(thing.__dict__.get("__loader__")) in loaders

    def added():
        found = []
        for name in reversed(modules):
            if name == newest:
                break
            found.append(modules[name])
        return found

    class End:
        def __del__(self):
            try:
                flush()
            except BaseException:
                return
            libc.exit(0)

    def end():
        # After the last line, and not after sys.exit, the interpreter removes these names
        # (Python/pythonrun.c, _PyRun_SimpleFileObject); after an exception it sets last_type.
        main = getattr(modules.get("__main__"), "__dict__", ("__file__",))
        ran = "__file__" not in main and "__cached__" not in main and "last_type" not in interpreter
        del main
        # Objects that the program has hung there are taken apart later.
        ran = (ran and (len(interpreter), len(builtins)) == sizes
               and interpreter["stdout"] is interpreter["__stdout__"]
               and interpreter["stderr"] is interpreter["__stderr__"])
        if ran:
            try:
                flush()
                if unnoticed():
                    if calls_c:
                        flush_native(None)
                    leave(0)
            except BaseException:
                ran = False
        if exchange is None:
            return
        # What the template has loaded is forgotten. Modules are taken apart in the order of this
        # table, backwards: this one is the last.
        names = {}
        for name in reversed(modules):
            if name == newest:
                break
            names[name] = None
        spare.update(lasting)
        for name in ("__main__", *reversed(names)):
            if name in modules:
                spare[name] = modules.pop(name)
        exchange(modules, spare)
        if ran:
            last.__dict__["end"] = End()
            modules["_frozen_importlib"] = last

    last = module("last")
    for thing in (last, End, end, exchange, spare):
        libc.Py_IncRef(thing)
    return end


def unite_pages(libc):
    """Has large memory lie in huge pages (MADV_COLLAPSE, since Linux 6.1), which a fork shares whole."""
    collapse, huge = 25, HUGE_PAGE
    with open("/proc/self/maps") as maps:
        lines = [line.split() for line in maps]
    for places, access, _, _, inode, *name in lines:
        if access == "rw-p" and inode == "0" and name in ([], ["[heap]"]):
            start, end = (int(place, 16) for place in places.split("-"))
            for at in range(-(-start // huge) * huge, end - huge + 1, huge):
                libc.madvise(at, huge, collapse)


def hold_here(ctypes, libc, fill_holes, code, in_copies, at_the_end):
    """Waits, or sees to it that the interpreter waits when it looks at its program's path."""
    import _ctypes
    import gc
    import os
    import sys
    from _weakref import ReferenceType

    untrack, track = libc.PyObject_GC_UnTrack, libc.PyObject_GC_Track
    for function in (untrack, track):
        function.restype, function.argtypes = None, [ctypes.py_object]
    waits = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(code)
    buffer = ctypes.c_void_p(code + 4096)

    places = "/w/", "/box", "/tmp", "/dev"
    sys.path[:] = [entry for entry in sys.path if not entry.startswith("/w/")]
    for place in [place for place in sys.path_importer_cache if place.startswith(places)]:
        del sys.path_importer_cache[place]
    os.chdir("/")
    hooks = sys.path_hooks
    usual_hooks = hooks[:]
    limit = (ctypes.c_uint64 * 2)()
    FILES = 7  # RLIMIT_NOFILE
    libc.getrlimit(FILES, limit)
    no_files = (ctypes.c_uint64 * 2)(4, limit[1])

    def prepare():
        # Nothing here may hold on to the program's module.
        others = [module for name, module in sys.modules.items() if name != "__main__"]
        others += [ctypes, _ctypes]
        # Weak references may have callbacks, and who calls C functions may have left something to C's exit.
        noticed = ReferenceType, _ctypes.CFuncPtr
        silent = keep(gc, libc, others, noticed)
        at_the_end.append(shortcut(sys, libc, gc, silent, noticed, content_of(ctypes)))
        # What the interpreter sets up with its first program.
        exec(compile("pass\n", "<string>", "exec"), {})
        gc.collect()
        fill_holes(ctypes, libc)
        gc.freeze()
        # What a program makes hangs on its module, which the collector must see when it ends: frozen,
        # its objects would not be finalized.
        for thing in (sys.modules["__main__"], sys.modules["__main__"].__dict__):
            untrack(thing)
            track(thing)
        for thing in (wait, hold, prepare, error):
            libc.Py_IncRef(thing)
        unite_pages(libc)
        os.closerange(4, 1 << 16)

    def wait():
        try:
            prepare()
        except BaseException:
            # It must not go on to the program: it is not a run.
            os._exit(1)
        waits(buffer)
        if in_copies:
            for function in in_copies:
                function()

    error = ImportError()

    def hold(path):
        # The only hook while it waits, so that none before it takes the program for its own.
        libc.setrlimit(FILES, limit)
        wait()
        hooks[:] = usual_hooks
        # The program is a file: folders and archives are started cold.
        raise error

    if sys.argv[0] in ("", "-", "-c", "-m"):
        # There is no path to look at.
        wait()
        return
    hooks[:] = [hold]
    # If it were not asked, the interpreter could not open the program here.
    libc.setrlimit(FILES, no_files)
