"""Runs the cells of a session, one after the other, in one namespace.

A request is a line of JSON on standard input, an answer several on standard output; both are moved
elsewhere first, so that cells, and the programs that they start, find pipes of ours there. Cells share
this process and can break it in every way: whoever reads the answers must not believe them.

This is a module, and the program only calls its `main`: so a warm interpreter has it loaded beforehand, and nothing
in here may depend on the process before that.
"""

import ast
import builtins
import importlib.machinery
import importlib.util
import json
import linecache
import os
import select
import signal
import sys
import threading
import time
import types

STREAM_CHARS = 16 << 10
BUNDLE_CHARS = 6 << 20
ERROR_CHARS = 64 << 10
FLUSH_SECONDS = 0.01
DRAIN_READS = 64
REPRESENTATIONS = (
    ("text/html", "_repr_html_"),
    ("text/markdown", "_repr_markdown_"),
    ("text/latex", "_repr_latex_"),
    ("image/svg+xml", "_repr_svg_"),
    ("image/png", "_repr_png_"),
    ("image/jpeg", "_repr_jpeg_"),
    ("application/json", "_repr_json_"),
    ("application/javascript", "_repr_javascript_"),
)

# Known when it starts.
MAIN = PID = REQUESTS = ANSWERS = PUMP = CELLS = None


class Link:
    """Writes frames, whole and one at a time."""

    def __init__(self):
        self.lock = threading.RLock()
        self.writing = 0
        self.interrupted = False
        self.in_cell = False
        # Text of the cell that was not sent yet, by stream.
        self.name = "stdout"
        self.texts = []
        self.length = 0
        self.flushed = 0.0

    def frame(self, kind, content):
        self.guarded(self._frame, kind, content)

    def text(self, name, text):
        self.guarded(self._text, name, text)

    def flush(self):
        self.guarded(self._flush)

    def guarded(self, work, *arguments):
        """An interrupt in the middle of a frame would break it, so it waits for the end."""
        if os.getpid() != PID:
            return  # A child of a cell has no say here.
        main = threading.get_ident() == MAIN
        self.writing += main
        try:
            with self.lock:
                work(*arguments)
        finally:
            self.writing -= main
        if main and self.interrupted and not self.writing and self.in_cell:
            self.interrupted = False
            raise KeyboardInterrupt

    def _frame(self, kind, content):
        self._flush()
        self._write(kind, content)

    def _text(self, name, text):
        if name != self.name:
            self._flush()
            self.name = name
        self.texts.append(text)
        self.length += len(text)
        if self.length >= STREAM_CHARS:
            self._flush()
        elif len(self.texts) == 1:
            wake()

    def _flush(self):
        if not self.texts:
            return
        text = "".join(self.texts)
        self.texts, self.length = [], 0
        for start in range(0, len(text), STREAM_CHARS):
            part = text[start:start + STREAM_CHARS]
            self._write("stream", {"name": self.name, "text": part})

    def _write(self, kind, content):
        line = json.dumps({"type": kind, "content": content}) + "\n"
        data = memoryview(line.encode("utf-8", "replace"))
        while data:
            data = data[os.write(ANSWERS, data):]


LINK = Link()


class Output:
    """Standard output or standard error of the cells."""

    encoding = "utf-8"
    errors = "backslashreplace"
    newlines = None
    closed = False
    line_buffering = True
    mode = "w"

    def __init__(self, name, fd):
        self.stream, self.fd, self.name = name, fd, f"<{name}>"
        self.buffer = open(fd, "wb", buffering=0, closefd=False)

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if os.getpid() != PID:
            os.write(self.fd, text.encode("utf-8", "backslashreplace"))
        elif text:
            LINK.text(self.stream, text)
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        LINK.flush()

    def fileno(self):
        return self.fd

    def isatty(self):
        return False

    def readable(self):
        return False

    def writable(self):
        return True

    def seekable(self):
        return False

    def close(self):
        pass

    def reconfigure(self, **_):
        pass


class Pump(threading.Thread):
    """Passes on what programs and native code write to descriptors 1 and 2, and late text."""

    def __init__(self):
        super().__init__(daemon=True, name="session-output")
        self.lock = threading.Lock()
        self.pipes = {}
        self.bell, self.ringer = os.pipe()
        os.set_blocking(self.bell, False)
        os.set_blocking(self.ringer, False)
        for fd, name in ((1, "stdout"), (2, "stderr")):
            source, target = os.pipe()
            os.set_blocking(source, False)
            os.dup2(target, fd)
            os.close(target)
            self.pipes[source] = name
        self.poll = select.poll()
        for fd in (self.bell, *self.pipes):
            self.poll.register(fd, select.POLLIN)

    def ring(self):
        try:
            os.write(self.ringer, b"x")
        except OSError:
            pass

    def run(self):
        late = False
        while True:
            events = self.poll.poll(FLUSH_SECONDS * 1000 if late else None)
            if late and not events:
                LINK.flush()
                late = False
            for fd, _ in events:
                if fd == self.bell:
                    late = True
                    self.silence()
                else:
                    self.take(fd)
            if late and events:
                time.sleep(FLUSH_SECONDS)

    def silence(self):
        try:
            os.read(self.bell, 4096)
        except OSError:
            pass

    def take(self, fd):
        with self.lock:
            try:
                data = os.read(fd, STREAM_CHARS)
            except BlockingIOError:
                return False
            if data:
                LINK.text(self.pipes[fd], data.decode("utf-8", "replace"))
            return bool(data)

    def drain(self):
        """What a program wrote before it ended belongs to the cell that waited for it."""
        if os.getpid() != PID:
            return
        for fd in self.pipes:
            for _ in range(DRAIN_READS):
                if not self.take(fd):
                    break


def wake():
    PUMP.ring()


# What a cell shows.

def shorten(text, chars):
    return text if len(text) <= chars else text[:chars] + "…"


def representation(value, method):
    """What an object says of itself in one format: the data, or None."""
    if isinstance(value, type):
        return None
    try:
        function = getattr(value, method, None)
        data = function() if callable(function) else None
    except Exception:
        return None
    return data[0] if isinstance(data, tuple) and data else data


def encoded(data):
    if isinstance(data, (bytes, bytearray)):
        import base64
        return base64.b64encode(data).decode("ascii")
    return data


def figure_png(figure):
    import io
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return buffer.getvalue()


def bundle(value):
    """All formats of an object, and what else it says of them."""
    data, metadata = {}, {}
    figures = sys.modules.get("matplotlib.figure")
    if figures and isinstance(value, figures.Figure):
        data["image/png"] = encoded(figure_png(value))
        size = "x".join(f"{side:.0f}" for side in value.get_size_inches() * value.dpi)
        data["text/plain"] = f"<Figure size {size} with {len(value.axes)} Axes>"
        return data, metadata
    try:
        whole = None if isinstance(value, type) else getattr(value, "_repr_mimebundle_", None)
        whole = whole(include=None, exclude=None) if callable(whole) else None
        if isinstance(whole, tuple):
            whole, metadata = whole
        data.update({str(name): encoded(item) for name, item in (whole or {}).items()})
    except Exception:
        pass
    for name, method in REPRESENTATIONS:
        if name not in data:
            found = representation(value, method)
            if found is not None:
                data[name] = encoded(found)
    if "text/plain" not in data:
        data["text/plain"] = repr(value)
    return data, metadata


def fitting(data, metadata):
    """The formats that fit into a frame; the text always does."""
    kept, left = {}, BUNDLE_CHARS
    for name in sorted(data, key=lambda name: name != "text/plain"):
        item = data[name]
        try:
            length = len(item) if isinstance(item, str) else len(json.dumps(item))
        except (TypeError, ValueError):
            continue
        if length <= left:
            kept[name] = item
            left -= length
        elif name == "text/plain":
            kept[name] = shorten(item, ERROR_CHARS)
            left -= ERROR_CHARS
    try:
        json.dumps(metadata)
    except (TypeError, ValueError):
        metadata = {}
    return {"data": kept, "metadata": metadata}


def display(*values, raw=False, metadata=None, display_id=None, **_):
    """Shows objects in every format that they have."""
    for value in values:
        data, found = (value, {}) if raw else bundle(value)
        content = fitting(data, {**found, **(metadata or {})})
        if display_id is not None:
            content["transient"] = {"display_id": str(display_id)}
        LINK.frame("display_data", content)


def clear_output(wait=False):
    LINK.frame("clear_output", {"wait": bool(wait)})


def show_figures(*_, **__):
    """Shows the open figures of matplotlib, and closes them."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    try:
        for number in pyplot.get_fignums():
            display(pyplot.figure(number))
    finally:
        pyplot.close("all")


class NoInput(RuntimeError):
    pass


NoInput.__name__ = NoInput.__qualname__ = "StdinNotImplementedError"


def no_input(prompt=""):
    raise NoInput("there is nobody to ask in a session: input() is not supported")


# Modules that cells find beside those of the image.

PLOTS = """
from matplotlib.backends.backend_agg import FigureCanvasAgg as FigureCanvas
from __session__ import show_figures as show
"""
DISPLAYS = """
from __session__ import display, clear_output
class DisplayObject:
    def __init__(self, data=None, filename=None, url=None, **_):
        if data is None and filename is not None:
            with open(filename, self._mode) as file:
                data = file.read()
        self.data = data
    _mode = "r"
    def __repr__(self):
        return f"<IPython.core.display.{type(self).__name__} object>"
def _kind(name, method, mode="r"):
    return type(name, (DisplayObject,), {method: lambda self: self.data, "_mode": mode})
HTML = _kind("HTML", "_repr_html_")
Markdown = _kind("Markdown", "_repr_markdown_")
Latex = Math = _kind("Latex", "_repr_latex_")
SVG = _kind("SVG", "_repr_svg_")
JSON = _kind("JSON", "_repr_json_")
Javascript = _kind("Javascript", "_repr_javascript_")
Image = _kind("Image", "_repr_png_", "rb")
"""


class Modules:
    """Finds the modules of ours; and makes a real IPython, where there is one, show through us."""

    sources = {"__session_plots__": PLOTS}
    shims = {"IPython": "from __session__ import display\ndef get_ipython(): return None\n",
             "IPython.display": DISPLAYS}

    def find_spec(self, name, path=None, target=None):
        source = self.sources.get(name)
        if source is None and name == "IPython.core.display_functions":
            return self.patched(name, path)
        if source is None and name in self.shims and not self.real():
            source = self.shims[name]
        if source is None:
            return None
        loader = Source(source)
        return importlib.machinery.ModuleSpec(name, loader, is_package=name == "IPython")

    def real(self):
        return importlib.machinery.PathFinder.find_spec("IPython", sys.path) is not None

    def patched(self, name, path):
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                module.display, module.clear_output = display, clear_output

            spec.loader.exec_module = exec_module
        return spec


class Source:
    def __init__(self, source):
        self.source = source

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(self.source, module.__dict__)


# Cells.

class UsageError(Exception):
    pass


KNOWN = "!command, %%bash, %%time, %cd, %pwd, %time"
IGNORED_MAGICS = {"matplotlib", "load_ext", "autoreload", "config", "reload_ext", "pylab"}


def shell(command):
    """Runs a command; what it writes goes the way of all output."""
    import subprocess
    LINK.flush()
    code = subprocess.run(command, shell=True, stdin=subprocess.DEVNULL).returncode
    PUMP.drain()
    return code


def magic(line):
    """The few of IPython's line magics that sessions know."""
    name, _, rest = line.partition(" ")
    rest = rest.strip()
    if name in IGNORED_MAGICS:
        return None
    if name == "pwd":
        return os.getcwd()
    if name == "cd":
        os.chdir(os.path.expanduser(rest or "~"))
        return None
    if name == "time":
        return timed(rest)
    if name in ("pip", "conda"):
        raise UsageError(f"%{name}: a session has no network; name an image that has the package")
    raise UsageError(f"%{name} is not known here; known: {KNOWN}")


def timed(code):
    start, used = time.perf_counter(), time.process_time()
    try:
        return CELLS.run(code)
    finally:
        wall, used = time.perf_counter() - start, time.process_time() - used
        print(f"CPU times: {used:.3g} s\nWall time: {wall:.3g} s")


def plain(code):
    """Python for a cell with magics. Only asked for what is no Python already."""
    if code.startswith(("%%bash", "%%sh")):
        return f"__session__.shell({code.partition(chr(10))[2]!r})\nNone"
    if code.startswith("%%time"):
        return f"__session__.timed({code.partition(chr(10))[2]!r})"
    if code.startswith("%%"):
        raise UsageError(f"{code.split()[0]} is not known here; known: {KNOWN}")
    lines = []
    for line in code.split("\n"):
        body = line.lstrip()
        indent = line[:len(line) - len(body)]
        if body.startswith("!"):
            line = f"{indent}__session__.shell({body[1:]!r}); None"
        elif body.startswith("%") and not body.startswith("%%"):
            line = f"{indent}__session__.magic({body[1:]!r})"
        lines.append(line)
    return "\n".join(lines)


class Cells:
    def __init__(self):
        self.count = 0
        self.loop = None
        main = types.ModuleType("__main__")
        self.names = main.__dict__
        self.names.update(__builtins__=builtins, display=display, Out={}, In=[""])
        sys.modules["__main__"] = main

    def parse(self, code, name):
        try:
            return ast.parse(code, name), code
        except SyntaxError:
            changed = plain(code)
            if changed == code:
                raise
            self.names["__session__"] = sys.modules["__session__"]
            return ast.parse(changed, name), changed

    def run(self, code):
        """Runs code and returns the value of its last expression."""
        name = f"<cell {self.count}>"
        lines = code.splitlines(keepends=True)
        linecache.cache[name] = (len(code), None, lines, name)
        tree, code = self.parse(code, name)
        last = None
        if tree.body and isinstance(tree.body[-1], ast.Expr) and not code.rstrip().endswith(";"):
            last = ast.Expression(tree.body.pop().value)
        if tree.body:
            self.execute(compile(tree, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, True))
        if last is None:
            return None
        return self.execute(compile(last, name, "eval", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, True))

    def execute(self, code):
        value = eval(code, self.names)
        if not code.co_flags & 0x80:  # CO_COROUTINE
            return value
        import asyncio
        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)
        return self.loop.run_until_complete(value)

    def show(self, value):
        if value is None:
            return
        content = fitting(*bundle(value))
        content["execution_count"] = self.count
        self.names["Out"][self.count] = value
        self.names["_"] = value
        LINK.frame("execute_result", content)

    def cell(self, code):
        """Runs a cell; returns whether it ended well."""
        LINK.in_cell = True
        try:
            try:
                self.show(self.run(code))
                show_figures()
            finally:
                PUMP.drain()
            return True
        except BaseException as error:
            LINK.in_cell = False
            PUMP.drain()
            tell(error)
            return False
        finally:
            LINK.in_cell = LINK.interrupted = False


def tell(error):
    """An error as Jupyter tells it; what of the trace lies in here is left out."""
    import traceback
    try:
        told = traceback.TracebackException(type(error), error, error.__traceback__)
        leave_out(told)
        lines = list(told.format())
    except Exception:
        lines = [f"{type(error).__name__}: this error cannot be shown\n"]
    try:
        value = str(error)
    except Exception:
        value = ""
    lines = [line.rstrip("\n") for line in lines]
    if sum(map(len, lines)) > ERROR_CHARS:
        lines = [shorten("\n".join(lines), ERROR_CHARS)]
    content = {"ename": type(error).__name__, "evalue": shorten(value, ERROR_CHARS), "traceback": lines}
    LINK.frame("error", content)


def leave_out(told, depth=16):
    """Removes what lies in here, and what lies before the first cell, from a trace and its causes."""
    import traceback
    frames = [frame for frame in told.stack if frame.filename != __file__]
    while frames and not frames[0].filename.startswith("<cell"):
        frames.pop(0)
    told.stack = traceback.StackSummary.from_list(frames)
    for other in (told.__cause__, told.__context__):
        if other is not None and depth:
            leave_out(other, depth - 1)


def on_interrupt(*_):
    if not LINK.in_cell:
        return
    if LINK.writing:
        LINK.interrupted = True
    else:
        raise KeyboardInterrupt


def requests():
    """The requests, one a line."""
    rest = b""
    while True:
        line, end, after = rest.partition(b"\n")
        if end:
            rest = after
            yield json.loads(line)
            continue
        parts = [rest]
        while b"\n" not in parts[-1]:
            data = os.read(REQUESTS, 1 << 16)
            if not data:
                return
            parts.append(data)
        rest = b"".join(parts)


def serve():
    LINK.frame("ready", {})
    for request in requests():
        try:
            signal.signal(signal.SIGINT, on_interrupt)
            if request["store"]:
                CELLS.count += 1
                CELLS.names["In"].append(request["code"])
            done = CELLS.cell(request["code"])
        except KeyboardInterrupt as error:
            tell(error)
            done = False
        if os.getpid() != PID:
            os._exit(0)
        LINK.frame("end", {"id": request["id"], "ok": done, "execution_count": CELLS.count})


def main():
    global MAIN, PID, REQUESTS, ANSWERS, PUMP, CELLS
    MAIN, PID = threading.get_ident(), os.getpid()
    # Under numbers that are closed in every program of a cell.
    REQUESTS, ANSWERS = os.dup(0), os.dup(1)
    PUMP, CELLS = Pump(), Cells()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    sys.stdout, sys.stderr = Output("stdout", 1), Output("stderr", 2)
    # A cell may have a module of that name.
    sys.modules["__session__"] = sys.modules.pop(__name__)
    sys.meta_path.insert(0, Modules())
    sys.path[0] = ""
    sys.argv = [""]
    builtins.input = no_input
    signal.signal(signal.SIGINT, on_interrupt)
    PUMP.start()
    serve()
