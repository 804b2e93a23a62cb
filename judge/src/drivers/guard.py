"""What the drivers of Python programs stand on: whose code a frame runs, and an audit hook that ends a
program which asks for what no solution needs. An audit hook cannot be removed.

Code is known by its file's name, so what would give code a name that is not its own is refused. Who asks
is told by the innermost frame, if its code names what it asks for: code that calls whatever it is handed
is no better than who handed it. Threads are the candidate's. Nothing here calls a method of an object
that the candidate may have made.
"""
import sys

DRIVER = __file__
TREE = "/box/tree/"
MEMORY = {"gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys._current_frames", "sys._current_exceptions"}
SPAWN = {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.spawn", "os.fork", "os.forkpty", "pty.spawn"}
NAMES = {"compile", "marshal.loads", "marshal.load", "code.__new__", "open"}
FRAMES = {"tb_frame", "gi_frame", "cr_frame", "ag_frame"}
CODES = {"__code__", "__defaults__", "__kwdefaults__"}
HIDDEN_MODULES = {"_testcapi", "_testinternalcapi", "_xxsubinterpreters", "_interpreters", "_testlimitedcapi"}
DEPUTIES = ("/inspect.py", "/bdb.py", "/pdb.py", "/asyncio/base_tasks.py")
# What a library's code must name to ask for it.
WORDS = {
    "code.__new__": {"CodeType", "replace"},
    "function.__new__": {"FunctionType"},
    "sys._getframe": {"_getframe"},
    "sys.addaudithook": {"addaudithook"},
    "sys.settrace": {"settrace"},
    "sys.setprofile": {"setprofile", "enable"},
    "sys.monitoring.register_callback": {"register_callback"},
}
ASKED_BY_ASSERTIONS = MEMORY | SPAWN | NAMES | {"import"}
ASKED_BY_SUITES = ASKED_BY_ASSERTIONS | set(WORDS) | {"object.__getattr__", "object.__setattr__"}


def hide_memory():
    """Has the kernel give /proc/self/mem and the like to nobody: the program may be root's to look at, and
    not its own (PR_SET_DUMPABLE in prctl(2), proc(5))."""
    try:
        from _ctypes import call_function, dlopen, dlsym
    except ImportError:
        return
    call_function(dlsym(dlopen(None, 0), "prctl"), (4, 0, 0, 0, 0))


def trust(image, candidate):
    """Whether a file's code is the toolchain's, ours or the problem's, and not the candidate's."""
    # The first is where this file lies; the others are the image's, which nothing here can write.
    places = tuple(place.rstrip("/") + "/" for place in image if place) + ("<frozen ",)
    candidate = frozenset(TREE + name for name in candidate)
    known = {DRIVER: True}

    def trusted(name):
        answer = known.get(name)
        if answer is None:
            if "/./" in name or "/../" in name or "//" in name:
                # Another name of some file, whichever.
                answer = False
            elif name.startswith(TREE):
                answer = name not in candidate
            else:
                answer = name.startswith(places)
            if len(known) < 10000:
                known[name] = answer
        return answer

    return trusted


def genuine(trusted):
    """Whether code that is to bear a trusted file's name is that file's."""
    import os

    open_file, read, close, flags, encode = os.open, os.read, os.close, os.O_RDONLY | os.O_CLOEXEC, os.fsencode

    def content(name):
        try:
            fd = open_file(encode(name), flags)
        except OSError:
            return None
        parts = []
        try:
            while part := read(fd, 1 << 20):
                parts.append(part)
        finally:
            close(fd)
        return b"".join(parts)

    def is_source(source, name):
        if type(source) is str:
            source = source.encode("utf-8", "surrogatepass")
        return type(source) is bytes and source == content(name)

    def is_bytecode(data, frame):
        """What importlib loads for itself: all but the head of a file."""
        code = frame.f_code
        if code.co_filename != "<frozen importlib._bootstrap_external>" or code.co_name != "_compile_bytecode":
            return False
        name = frame.f_locals.get("bytecode_path")
        if type(name) is not str or not trusted(name):
            return False
        whole = content(name)
        return whole is not None and whole[16:] == data

    return is_source, is_bytecode


def watch(trusted, told, looked):
    """Sets the hook, which writes what it finds to the descriptor `told` at once."""
    import os
    from _imp import exec_dynamic
    from _thread import get_ident

    write, leave, text = os.write, os._exit, os.fsdecode
    frame_at, first = sys._getframe, get_ident()
    is_source, is_bytecode = genuine(trusted)
    library = os.__file__.rpartition("/")[0] + "/"
    others = library + "dist-packages/", library + "site-packages/"
    reads = writes = calls = frozenset()
    if "object.__getattr__" in looked:
        from opcode import opmap

        reads = {opmap[name] for name in ("LOAD_ATTR", "LOAD_METHOD") if name in opmap}
        writes = {opmap["STORE_ATTR"]}
        calls = {opmap[name] for name in ("CALL", "PRECALL", "CALL_FUNCTION") if name in opmap}
    busy = set()

    def is_deputy(code, is_caller, event):
        """Whether it hands on what it gets, or calls what it is handed."""
        name = code.co_filename
        if name.endswith(DEPUTIES) or "/ctypes/" in name or "/_pytest/_code/" in name:
            return True
        if name.endswith("/types.py"):
            return code.co_name != "coroutine"
        if name.endswith("/traceback.py"):
            # Its generators yield frames; those of all who called are for nobody.
            return event == "sys._getframe" or bool(code.co_flags & 0x20)
        if name.endswith("/logging/__init__.py"):
            return code.co_name in ("currentframe", "<lambda>")
        return is_caller and name.startswith(library) and not name.startswith(others)

    def asked_by_candidate(frame, event):
        is_caller = False
        while frame is not None:
            if not trusted(frame.f_code.co_filename):
                return True
            if not is_deputy(frame.f_code, is_caller, event):
                return False
            frame, is_caller = frame.f_back, True
        return True

    def candidate_is_on(frame):
        if get_ident() != first:
            return True
        while frame is not None:
            if not trusted(frame.f_code.co_filename):
                return True
            frame = frame.f_back
        return False

    def asks(frame, event, args):
        """Whether the innermost code itself asks, and does not only call what it was handed."""
        code = frame.f_code
        if event == "object.__getattr__":
            does = code.co_code[frame.f_lasti]
            # Some ask whether it is there, by a name that they spell out.
            return does in reads and args[1] in code.co_names or does in calls and args[1] in code.co_consts
        if event == "object.__setattr__":
            return args[1] in code.co_names and code.co_code[frame.f_lasti] in writes
        if event[:7] == "ctypes.":
            return "/ctypes/" in code.co_filename or "ctypes" in code.co_names
        if code.co_name == "_call_with_frames_removed" and code.co_filename == "<frozen importlib._bootstrap>":
            # Modules in machine code make code objects when they are loaded.
            return frame.f_locals.get("f") is exec_dynamic
        return not WORDS[event].isdisjoint(code.co_names)

    def is_loadable(place):
        if type(place) is not str or place[:1] != "/":
            return False
        return trusted(place) or place.startswith(TREE) and "/../" not in place

    def plain(name):
        return text(name) if type(name) in (str, bytes) else None

    def refused(event, args, frame):
        if event == "object.__getattr__" and args[1] not in FRAMES:
            return False
        if event == "object.__setattr__" and args[1] not in CODES:
            return False
        if event == "open":
            name = plain(args[0])
            return name is not None and (name.startswith("/proc") or "/proc/" in name) and candidate_is_on(frame)
        if event == "import":
            if args[0] in HIDDEN_MODULES:
                return candidate_is_on(frame)
            # Where machine code is loaded from: the image, or what a build made of the tree.
            return args[1] is not None and not is_loadable(args[1])
        if event == "compile":
            if not isinstance(args[1], (str, bytes)):
                return False
            name = plain(args[1])
            if name is None:
                return candidate_is_on(frame)
            return trusted(name) and not is_source(args[0], name) and candidate_is_on(frame)
        if event == "marshal.loads":
            return candidate_is_on(frame) and not is_bytecode(args[0], frame)
        if event in MEMORY or event == "marshal.load":
            return candidate_is_on(frame)
        return asked_by_candidate(frame, event) if asks(frame, event, args) else candidate_is_on(frame)

    def hook(event, args):
        if event not in looked and event[:7] != "ctypes.":
            return
        me = get_ident()
        if me in busy:
            return
        busy.add(me)
        try:
            frame = frame_at(1)
            if event in SPAWN:
                if candidate_is_on(frame):
                    write(told, b"\nassay-flag spawns_process\n")
            elif refused(event, args, frame):
                write(told, b"\nassay-flag inspects_memory\n")
                leave(97)
            elif event == "import" and type(args[1]) is str and args[1].startswith(TREE) and not trusted(args[1]):
                write(told, b"\nassay-flag native_code\n")
        finally:
            busy.discard(me)

    sys.addaudithook(hook)


