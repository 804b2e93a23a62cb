"""Runs a candidate and then its assertions in one namespace, and proves that both ended.

Standard input holds a line with a one-time value, and the assertions after it. It is read to its
end and replaced before the candidate's first statement. From then on the value, the assertions
and their text are held by no frame's locals and no module's globals: only by C iterators and by
the interpreter's own stack. The value is written as the very last thing; whoever leaves earlier,
or is not the first process, never gets there.
"""
import sys
from collections import deque
from itertools import starmap

SOLUTION = "/box/solution.py"
ASSERTIONS = "assertions.py"


class Report:
    """Prints an exception as the interpreter would, without the frame of this file."""

    def __init__(self, steps, text):
        self.steps = steps
        self.text = text

    def __enter__(self):
        steps, self.steps = self.steps, None
        return steps

    def __exit__(self, kind, error, trace):
        if kind is None or issubclass(kind, SystemExit):
            return False
        import linecache
        import traceback

        lines = self.text.splitlines(True)
        linecache.cache[ASSERTIONS] = (len(self.text), None, lines, ASSERTIONS)
        sys.stdout.flush()
        traceback.print_exception(kind, error, trace and trace.tb_next)
        sys.stderr.flush()
        raise SystemExit(1) from None


def finish(value):
    import os

    write, leave, current, first = os.write, os._exit, os.getpid, os.getpid()
    streams = (sys.__stdout__, sys.__stderr__)

    def untrace():
        sys.settrace(None)
        sys.setprofile(None)

    def prove():
        if current() != first:
            return
        for stream in (sys.stdout, sys.stderr, *streams):
            try:
                stream.flush()
            except BaseException:
                pass
        write(1, b"\n" + value + b"\n")
        leave(0)

    return untrace, prove


def watch():
    """Tells the judge, at the moment it happens, of what no honest solution needs; what would find the
    value or the assertions in memory ends the program. An audit hook cannot be removed."""
    import os

    write, leave = os.write, os._exit
    memory = {"gc.get_objects", "gc.get_referrers", "gc.get_referents", "code.__new__"}
    spawn = {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.spawn", "pty.spawn"}

    def hook(event, args):
        if event in memory or event.startswith("ctypes."):
            write(2, b"\nassay-flag inspects_memory\n")
            leave(97)
        if event in spawn:
            write(2, b"\nassay-flag spawns_process\n")
        if event == "open" and args:
            path = args[0]
            if isinstance(path, (str, bytes)):
                path = os_fsdecode(path)
                if path.startswith("/proc") or "/proc/" in path:
                    write(2, b"\nassay-flag inspects_memory\n")
                    leave(97)

    os_fsdecode = os.fsdecode
    sys.addaudithook(hook)


def prepare():
    import builtins
    import os
    import types

    parts = []
    while part := os.read(0, 1 << 20):
        parts.append(part)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    value, _, text = b"".join(parts).partition(b"\n")
    text = text.decode("utf-8")
    with open(SOLUTION, "rb") as file:
        source = file.read()

    module = types.ModuleType("__main__")
    module.__file__ = SOLUTION
    names = module.__dict__
    names["__builtins__"] = builtins
    sys.modules["__main__"] = module
    sys.path[0] = "/w"
    sys.argv[:] = [SOLUTION]

    report = Report(None, text)
    try:
        solution = compile(source, SOLUTION, "exec", dont_inherit=True, optimize=0)
        assertions = compile(text, ASSERTIONS, "exec", dont_inherit=True, optimize=0)
    except BaseException as error:
        report.__exit__(type(error), error, None)
    watch()
    untrace, prove = finish(value)
    call = compile("call()", "driver.py", "exec")
    report.steps = [
        (solution, names),
        (call, {"call": untrace}),
        (assertions, names),
        (call, {"call": prove}),
    ]
    return report


with prepare() as steps:
    deque(starmap(exec, globals().pop("steps")), maxlen=0)
