# Programs that each look at something a start-up decides. Separated by a line of dashes.
#---
import sys; print(sys.argv, sys.orig_argv, sys.path)
#---
import sys; print(sys.flags, sys.executable, sys.prefix, sys.dont_write_bytecode)
#---
print(__name__, __file__, __spec__, __doc__, __package__, __builtins__.__name__)
#---
import sys; print(sys.modules['__main__'].__dict__.keys())
#---
import os; print(sorted(os.environ.items()))
#---
print(open('/proc/self/cmdline').read(), open('/proc/self/environ').read())
#---
import os; print(os.getcwd(), os.listdir('.'), os.umask(0))
#---
import os; print(sorted(os.listdir('/proc/self/fd')))
#---
import os; print(os.getuid(), os.geteuid(), os.getgid(), os.getegid(), os.getgroups(), os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid(), os.getppid())
#---
import signal; print([(s.name, signal.getsignal(s)) for s in signal.Signals if s not in (signal.SIGINT,)])
#---
import signal; print(signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, []))
#---
for line in open('/proc/self/status'):
    if line.startswith(('Cap', 'NoNewPrivs', 'Seccomp', 'Sig', 'Shd', 'Groups', 'Uid', 'Gid', 'Threads', 'Umask', 'Cpus_allowed_list')) and 'SigQ' not in line:
        print(line, end='')
#---
import resource; print([(n, resource.getrlimit(getattr(resource, n))) for n in sorted(dir(resource)) if n.startswith('RLIMIT_')])
#---
import locale, sys; print(locale.setlocale(locale.LC_ALL, None), sys.getfilesystemencoding(), locale.getpreferredencoding())
#---
import sys; print([(s.name, s.mode, s.encoding, s.errors, s.newlines, s.line_buffering, s.isatty(), s.fileno(), s.seekable()) for s in (sys.stdin, sys.stdout, sys.stderr)])
#---
import sys; print(type(sys.stdin.buffer), sys.stdin.buffer.raw, sys.stdout.buffer.raw, sys.stderr.buffer.raw)
#---
print(input()); print(input())
try: input()
except EOFError as e: print('end', e)
#---
import sys; print(sys.stdin.read())
#---
import sys; print(sys.stdin.buffer.read(), sys.stdin.buffer.tell())
#---
import os; print(os.read(0, 5), os.lseek(0, 0, 1), os.read(0, 100))
#---
import sys; sys.stdin.seek(6); print(sys.stdin.readline())
#---
import sys; sys.exit(0)
#---
import sys; sys.exit(3)
#---
import sys; sys.exit('message')
#---
import sys; sys.exit(None)
#---
raise SystemExit
#---
raise SystemExit(300)
#---
import os; os._exit(7)
#---
1 / 0
#---
def f(): return g()
def g(): raise ValueError('deep')
f()
#---
try:
    1 / 0
except ZeroDivisionError as e:
    raise RuntimeError('chained') from e
#---
this is no program
#---
  print('indented')
#---
print('é', "\ud800".encode('utf-8', 'surrogatepass'))
#---
print("\ud800")
#---
raise KeyboardInterrupt
#---
import os, signal; os.kill(os.getpid(), signal.SIGTERM)
#---
import os, signal; os.kill(os.getpid(), signal.SIGSEGV)
#---
import os; os.abort()
#---
import signal, os; signal.raise_signal(signal.SIGINT)
#---
import ctypes; ctypes.string_at(0)
#---
def f(n): return 0 if n == 0 else 1 + f(n - 1)
for n in range(970, 1010):
    try: print(n, f(n))
    except RecursionError as e: print(n, e); break
#---
import sys; print(sys.getrecursionlimit(), sys.getswitchinterval())
#---
import sys
try: print(sys._getframe(1))
except ValueError as e: print(e)
#---
import inspect; print([f.function for f in inspect.stack()])
#---
import traceback; traceback.print_stack()
#---
import threading; print(threading.current_thread().name, threading.main_thread().name, threading.active_count(), threading.enumerate()[0].name)
#---
import threading
r = []
ts = [threading.Thread(target=lambda i=i: r.append(i)) for i in range(8)]
[t.start() for t in ts]; [t.join() for t in ts]; print(sorted(r))
#---
import threading, os; print(threading.get_native_id() == os.getpid())
#---
import atexit; atexit.register(lambda: print('at exit')); print('before')
#---
import atexit, sys; atexit.register(lambda: print('at exit')); sys.exit(4)
#---
class A:
    def __del__(self): print('deleted')
a = A(); print('end')
#---
import gc; print(gc.isenabled(), gc.get_threshold(), gc.get_debug(), gc.callbacks)
#---
import random; random.seed(7); print([random.random() for _ in range(5)])
#---
print(hash('text'), hash((1, 2)), {'b', 'a', 'c'})
#---
print([hash(s) for s in ('', 'a', 'ab', b'x', 1.5)])
#---
import subprocess; print(subprocess.run(['/bin/echo', 'child'], capture_output=True).stdout)
#---
import subprocess, sys; print(subprocess.run([sys.executable, '-c', 'print(1)'], capture_output=True).stdout)
#---
import os
pid = os.fork()
if pid == 0: os._exit(5)
print(os.waitpid(pid, 0)[1])
#---
import multiprocessing
def f(x): return x * x
if __name__ == '__main__':
    with multiprocessing.Pool(2) as p: print(p.map(f, range(5)))
#---
import asyncio
async def main(): await asyncio.sleep(0); return 1
print(asyncio.run(main()))
#---
import warnings; warnings.warn('careful'); print(warnings.filters)
#---
import decimal, fractions, json, datetime, itertools, heapq; print(decimal.Decimal('0.1') + 1, fractions.Fraction(1, 3), json.dumps({'a': [1]}))
#---
import ctypes; print(ctypes.sizeof(ctypes.c_long), ctypes.CDLL(None).getpid() > 1)
#---
import re; print(re.findall(r'\d+', 'a1b22'), re.__name__)
#---
import socket; s = socket.socketpair(); s[0].send(b'x'); print(s[1].recv(1))
#---
import resource, gc, ctypes, _socket; print(resource.__name__, gc.__name__, ctypes.__name__, _socket.__name__)
#---
import importlib.util; print(importlib.util.find_spec('usercustomize'), importlib.util.find_spec('_assay_warm'))
#---
import site; print(site.ENABLE_USER_SITE, site.USER_BASE, site.USER_SITE, site.getsitepackages())
#---
import sysconfig; print(sysconfig.get_paths()['stdlib'])
#---
import sys; sys.stdout.write('no newline')
#---
import sys; sys.stdout.close(); sys.stderr.write('out is closed\n')
#---
import os; os.close(1); print('to nowhere')
#---
import sys; sys.stderr.write('to err'); print('to out')
#---
print('x' * 1000000)
#---
x = []
while True: x.append(' ' * 1000000)
#---
import os
try: os.setuid(0)
except PermissionError as e: print(e)
#---
import ctypes; libc = ctypes.CDLL(None, use_errno=True); print(libc.prctl(47, 2, 6, 0, 0), ctypes.get_errno(), libc.prctl(8, 0, 0, 0, 0), ctypes.get_errno(), libc.prctl(27, 0, 0, 0, 0), libc.prctl(3, 0, 0, 0, 0))
#---
import os; print(os.sched_getaffinity(0) == {next(iter(os.sched_getaffinity(0)))}, os.nice(0), os.sched_getscheduler(0))
#---
import os; print(open('/proc/self/oom_score_adj').read(), os.readlink('/proc/self/exe'), os.readlink('/proc/self/cwd'))
#---
import builtins; print(sorted(dir(builtins)))
#---
import sys; print(sys.gettrace(), sys.getprofile(), sys.displayhook, sys.excepthook, sys.unraisablehook, sys.breakpointhook)
#---
import sys; print([getattr(f, '__name__', type(f)) for f in sys.meta_path], [h.__name__ for h in sys.path_hooks], sys.pycache_prefix, sys.warnoptions, sys._xoptions)
#---
import os; os.register_at_fork(after_in_child=lambda: print('hook', flush=True)); pid = os.fork() or os._exit(0); os.wait()
#---
import faulthandler; print(faulthandler.is_enabled())
#---
import time; print(time.process_time() < 1, time.monotonic() > 0, time.tzname)
#---
import tempfile, os; f = tempfile.NamedTemporaryFile(); print(os.path.dirname(f.name))
#---
import pickle; print(pickle.loads(pickle.dumps({'a': (1, 2)})))
#---
import dataclasses
@dataclasses.dataclass
class P: x: int = 0
print(P(3))
#---
from __future__ import annotations
print(__annotations__ if '__annotations__' in globals() else None)
#---
x: int = 1
print(__annotations__)
#---
print('read', len(open(__file__).read()) > 10)
#---
class Late:
    def __init__(self, name):
        self.name = name

    def __del__(self):
        print("gone", self.name)


import sys, json, os
first, ring = Late("global"), Late("ring")
ring.itself = ring
sys.hung = Late("sys")
#---
class Late:
    def __del__(self):
        print("gone", json is not None and json.dumps([1]), os.sep)


import json, os
late = Late()
#---
import atexit
atexit.register(lambda: print("exit handler", "__file__" in globals()))
print("__file__" in globals())
#---
import ctypes
ctypes.CDLL(None).printf(b"by the C library\n")
#---
import os
print("kept in the buffer")
os.close(1)
#---
import sys
sys.stdout.close()
#---
import io, sys
sys.stdout = io.TextIOWrapper(open(1, "wb", closefd=False), write_through=False)
print("by another stream")
#---
class Stream:
    def write(self, text):
        pass

    def flush(self):
        import os
        os.write(1, b"flushed\n")


import sys
sys.stdout = Stream()
#---
import sys
sys.last_type = ValueError
#---
import sys
print("status 7")
sys.exit(7)
#---
raise SystemExit
#---
raise SystemExit("a message")
#---
def hook(*about):
    print("hook", about[0].__name__)


import sys
sys.excepthook = hook
raise ValueError("unseen")
#---
raise KeyboardInterrupt
#---
import builtins


class Late:
    def __del__(self, write=__import__("os").write):
        write(1, b"gone\n")


builtins.hung = Late()
#---
import threading, time


def forever():
    while True:
        time.sleep(0.001)


threading.Thread(target=forever, daemon=True).start()
threading.Thread(target=lambda: (time.sleep(0.05), print("waited for"))).start()
#---
import os
if os.fork() == 0:
    print("child ends at its last line")
else:
    print(os.wait()[1])
#---
import weakref


class Thing:
    pass


thing = Thing()
weakref.finalize(thing, print, "finalized")
#---
import gc, sys
print(len([thing for thing in gc.get_objects() if type(thing).__name__ == "End"]))
print([name for name in sys.modules if "custom" in name])
#---
import tempfile, os
folder = tempfile.TemporaryDirectory()
print(os.path.isdir(folder.name))
#---
def held():
    try:
        yield 1
    finally:
        print("generator closed")


waiting = held()
next(waiting)
#---
class Late:
    def __del__(self):
        print("gone with its ring")


ring = Late()
ring.itself = ring
del ring
#---
class Bare:
    __slots__ = ()

    def __del__(self):
        print("gone without a dictionary")


bare = Bare()
#---
class Meta(type):
    def __getattribute__(kind, name):
        if name in ("__mro__", "__dict__", "__del__"):
            print("asked for", name)
        return super().__getattribute__(name)


class Asked(metaclass=Meta):
    pass


asked = Asked()
#---
class Meta(type):
    def __del__(kind):
        print("a class is gone")


class Kind(metaclass=Meta):
    pass
#---
Late = type("Late", (), {"__" + "del__": lambda self: print("gone by another name")})
late = [(1, {"deep": Late()})]
#---
class Plain:
    pass


plain = Plain()
plain.others = [Plain() for _ in range(10)]
print(len(plain.others))
#---
import sys
sys.addaudithook(lambda event, _: print(event) if event.startswith(("gc.", "sys._getframe", "ctypes")) else None)
thing = [[]]
#---
import gc
gc.callbacks.append(lambda phase, _: print(phase))
#---
import weakref


class Thing:
    pass


thing = Thing()
reference = weakref.ref(thing, lambda _: print("called back"))
#---
stream = open(1, "w", closefd=False)
stream.write("in a buffer of the program's own\n")
#---
class Late:
    def __del__(self):
        print("gone among many")


many = [str(number) for number in range(300_000)]
late = Late()
#---
import sys


class Late:
    def __del__(self):
        print("gone after a reload")


import re
del sys.modules["re"]
import queue, re
queue.hung = Late()
late = Late()
#---
import sys
print(len(sys.modules) > 10)
sys.modules.clear()
#---
async def never():
    pass


coroutine = never()
#---
import functools, collections, decimal


@functools.lru_cache(None)
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


table = collections.defaultdict(list)
table[1].append(decimal.Decimal(2))
print(fib(30), end="")
#---
import threading


class Late:
    def __del__(self):
        print("gone with its thread")


place = threading.local()
place.late = Late()
#---
import gc, sys
gc.disable()
print(gc.isenabled(), gc.get_threshold(), sys.getrecursionlimit(), sys.path_importer_cache.get("/box/main.py", 0))
#---
import resource
print(resource.getrlimit(resource.RLIMIT_NOFILE), len(open("/box/main.py").read()) > 0)
#---
import traceback
traceback.print_stack()
import sys
print(sys._getframe().f_back)
try:
    raise ValueError
except ValueError as error:
    print(error.__context__, error.__traceback__.tb_lineno)
