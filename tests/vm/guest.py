"""The tests that run inside the emulated machine, on cgroup v2. Started by its /init; see run.sh.

Goal: what the sandbox promises holds where all controllers share one hierarchy, wherever in it the
service is started. Each test ends with a look for what is left: no control group, lock, process or
mount. One line a test on the serial console, then `VM-SUMMARY`.
"""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

GROUPS = pathlib.Path("/sys/fs/cgroup")
LOCKS = pathlib.Path("/run/assay/slots")
CONTROLLERS = ("memory", "pids", "cpu")
# Emulation makes everything slower, starts of Python most of all.
PATIENCE_S = 20
PYTHON = ("/usr/bin/python3", "-I", "-S", "-c")


def until(what, condition):
    """Waits for a condition, with a deadline."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE_S} s: {what}")
        time.sleep(0.02)


def enter(group):
    """For a child before exec: joins a group."""
    return lambda: (group / "cgroup.procs").write_text("0")


def start(argv, *flags, group=GROUPS):
    """Starts a service with one slot, and in that the program."""
    limits = {"--cpu-time-ms": "20000", "--wall-time-ms": "30000", **dict(zip(flags[::2], flags[1::2]))}
    options = [word for pair in limits.items() for word in pair]
    return subprocess.Popen(
        ["sandbox", "run", "--json", *options, "--", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=enter(group),
    )


def end(process):
    stdout, stderr = process.communicate(timeout=2 * PATIENCE_S)
    assert stdout, f"exit {process.returncode}: {stderr.strip()}"
    return json.loads(stdout)


def run(argv, *flags, group=GROUPS):
    return end(start(argv, *flags, group=group))


def expect(found, wanted):
    assert found == wanted, f"expected {wanted!r}, got {found!r}"


def between(low, value, high):
    assert low <= value <= high, f"{value} is not within {low} and {high}"


def ended(outcome, kind, **facts):
    expect(outcome["termination"], {kind: facts} if facts else kind)


@contextlib.contextmanager
def own_group(name, parent=GROUPS, delegated=True):
    """A group as a service manager makes one: its parent hands it controllers, or does not."""
    if delegated:
        (parent / "cgroup.subtree_control").write_text(" ".join(f"+{c}" for c in CONTROLLERS))
    group = parent / name
    group.mkdir()
    try:
        yield group
    finally:
        until(f"{group} has no processes", lambda: not members(group))
        until(f"{group} can be removed", lambda: remove(group))


def remove(group):
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.exists()


def members(group):
    return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]


@contextlib.contextmanager
def bystander(group):
    """A process that lives in the group and is none of ours."""
    process = subprocess.Popen(["/bin/sleep", "1000"], preexec_fn=enter(group))
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def exit_code():
    for code in (0, 42):
        ended(run(["/bin/sh", "-c", f"exit {code}"]), "Exited", code=code)


def signalled():
    ended(run(["/bin/sh", "-c", "kill -15 $$"]), "Signalled", signal=15)


def cpu_limit():
    outcome = run(["/bin/sh", "-c", "while :; do :; done"], "--cpu-time-ms", "700")
    ended(outcome, "CpuTimeLimit")
    between(690, outcome["cpu_time_ms"], 1500)


def wall_limit():
    outcome = run(["/bin/sleep", "100"], "--wall-time-ms", "700")
    ended(outcome, "WallTimeLimit")
    between(695, outcome["wall_time_ms"], 3000)


GROW = "x = []\nwhile True: x.append(bytearray(1 << 20))"


def memory_limit():
    """With swap on, which runs may not use."""
    swaps = pathlib.Path("/proc/swaps").read_text().splitlines()
    assert len(swaps) > 1, "the machine has no swap"
    outcome = run([*PYTHON, GROW], "--memory-mib", "64")
    ended(outcome, "MemoryLimit")
    between(48 << 20, outcome["peak_memory_bytes"], 80 << 20)


def memory_below_limit():
    outcome = run([*PYTHON, "x = bytearray(40 << 20)"], "--memory-mib", "64")
    ended(outcome, "Exited", code=0)
    between(40 << 20, outcome["peak_memory_bytes"], 64 << 20)


def peak_of_children():
    """Four processes of 12 MiB each: what the largest alone uses is not the answer."""
    code = """
import os
ready, done = os.pipe(), os.pipe()
for _ in range(4):
    if os.fork() == 0:
        x = bytearray(12 << 20)
        os.write(ready[1], b'r'); os.read(done[0], 1); os._exit(0)
for _ in range(4): os.read(ready[0], 1)
os.write(done[1], b'dddd')
for _ in range(4): os.wait()
"""
    outcome = run([*PYTHON, code])
    ended(outcome, "Exited", code=0)
    between(48 << 20, outcome["peak_memory_bytes"], 90 << 20)


def pids_limit():
    code = """
import os, signal
n = 0
try:
    while n < 100:
        if os.fork() == 0: signal.pause()
        n += 1
except OSError: pass
print(n)
"""
    outcome = run([*PYTHON, code], "--pids", "16")
    ended(outcome, "Exited", code=0)
    between(12, int(outcome["stdout"]), 15)


def fork_bomb():
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    outcome = run([*PYTHON, bomb], "--pids", "32", "--cpu-time-ms", "1500")
    ended(outcome, "CpuTimeLimit")


def cpu_time_of_children():
    code = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        while time.process_time() < 0.3: pass
        os._exit(0)
for _ in range(3): os.wait()
"""
    outcome = run([*PYTHON, code])
    ended(outcome, "Exited", code=0)
    between(890, outcome["cpu_time_ms"], 4000)


def group_is_hidden():
    """What a program sees of its group names neither a slot nor where the service lives."""
    with own_group("hidden-place") as group:
        outcome = run(["/bin/cat", "/proc/self/cgroup"], group=group)
    ended(outcome, "Exited", code=0)
    for word in ("hidden", "assay", "slot"):
        assert word not in outcome["stdout"], outcome["stdout"]


def in_group_of_its_own():
    with own_group("service") as group:
        ended(run(["/bin/true"], group=group), "Exited", code=0)
        expect([child for child in group.iterdir() if child.is_dir()], [])


def beside_other_processes():
    """A group with processes hands nothing down: they make way and come back."""
    with own_group("session") as group, bystander(group) as pid:
        process = start([*PYTHON, "import time; time.sleep(2)"], group=group)
        until("the bystander makes way", lambda: members(group) == [])
        ended(end(process), "Exited", code=0)
        assert pid in members(group), f"the bystander did not come back: {where(pid)}"
        expect([child for child in group.iterdir() if child.is_dir()], [])


def where(pid):
    return pathlib.Path(f"/proc/{pid}/cgroup").read_text().strip()


def without_controllers():
    """Refused before anything is moved, with what to do about it."""
    with own_group("outer") as outer, own_group("inner", outer, delegated=False) as group:
        with bystander(group) as pid:
            process = start(["/bin/true"], group=group)
            _, stderr = process.communicate(timeout=PATIENCE_S)
            expect(process.returncode, 3)
            for word in ("memory", "pids", "outer/inner"):
                assert word in stderr, stderr
            assert pid in members(group), where(pid)


def without_cpu_controller():
    """Older service managers hand down memory and pids alone; cpu time is told by every group."""
    (GROUPS / "cgroup.subtree_control").write_text("+memory +pids -cpu")
    group = GROUPS / "slice"
    group.mkdir()
    try:
        outcome = run(["/bin/sh", "-c", "while :; do :; done"], "--cpu-time-ms", "500", group=group)
        ended(outcome, "CpuTimeLimit")
    finally:
        until("the slice is empty", lambda: remove(group))


def in_a_pod():
    """A container has a control group namespace: its root is a group like any other, has processes,
    and nothing above it is mounted."""
    script = """busybox umount /sys/fs/cgroup
busybox mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec sandbox run --json --cpu-time-ms 20000 --wall-time-ms 30000 -- /bin/echo inside"""
    with own_group("pod") as group:
        process = subprocess.Popen(
            ["unshare", "--cgroup", "--mount", "/bin/sh", "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=enter(group),
        )
        expect(end(process)["stdout"], "inside\n")
        expect([child for child in group.iterdir() if child.is_dir()], [])


def two_services():
    """Two in one group: the first to end leaves the other's slots working. The later ones start
    where a shell that the first has moved would start them."""
    with own_group("shared") as group, bystander(group) as pid:
        first = start([*PYTHON, "import time; time.sleep(1)"], group=group)
        until("the first has a slot", lambda: slots(group))
        second = start([*PYTHON, "import time; time.sleep(4); print('late')"], group=supervisors(group))
        until("both have slots", lambda: len(slots(group)) == 2)
        ended(end(first), "Exited", code=0)
        assert second.poll() is None, "the second ended first"
        third = run(["/bin/echo", "third"], group=supervisors(group))
        expect(third["stdout"], "third\n")
        expect(end(second)["stdout"], "late\n")
        assert pid in members(group), where(pid)


def slots(group):
    return [child for child in group.iterdir() if child.name.startswith("assay-slot")]


def supervisors(group):
    return group / "assay-supervisor"


def killed_service():
    """The kernel ends what a killed service ran; the next to start removes what it left."""
    with own_group("crashing") as group, bystander(group) as pid:
        process = start(["/bin/sleep", "777"], group=group)
        until("the program runs", lambda: running("/bin/sleep 777"))
        process.kill()
        process.communicate()
        until("the program is gone", lambda: not running("/bin/sleep 777"))
        assert slots(group), "there is nothing to clean"
        moved = supervisors(group)
        assert pid in members(moved), where(pid)
        # As from the shell that was moved with the service.
        ended(run(["/bin/true"], group=moved), "Exited", code=0)
        assert pid in members(group), where(pid)
        expect([child for child in group.iterdir() if child.is_dir()], [])


def killed_service_elsewhere():
    """The next start may be in another group."""
    with own_group("crashed") as group, bystander(group) as pid:
        process = start(["/bin/sleep", "778"], group=group)
        until("the program runs", lambda: running("/bin/sleep 778"))
        process.kill()
        process.communicate()
        until("the program is gone", lambda: not running("/bin/sleep 778"))
        ended(run(["/bin/true"]), "Exited", code=0)
        assert pid in members(group), where(pid)
        expect([child for child in group.iterdir() if child.is_dir()], [])


def running(command):
    wanted = command.encode().replace(b" ", b"\0") + b"\0"
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cmdline").read_bytes() == wanted:
                return True
    return False


def preflight():
    result = subprocess.run(["sandbox", "preflight"], capture_output=True, text=True, timeout=PATIENCE_S)
    expect(result.returncode, 0)
    assert re.search(r"control groups +on +v2", result.stdout), result.stdout
    assert re.search(r"trial slot +on", result.stdout), result.stdout
    assert re.search(r"swap +on +forbidden", result.stdout), result.stdout


def warm_interpreter():
    """Copies of a waiting interpreter are cloned into their group too, and may call no more than
    a program that was started cold: neither clone3 (435) nor seccomp (317)."""
    code = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def errno(*call): return libc.syscall(*call) and ctypes.get_errno()
mode = [line.split()[1] for line in open('/proc/self/status') if line.startswith('Seccomp:')]
print(errno(435, 0, 0), errno(317, 1, 0, 0), *mode, open('/proc/self/cgroup').read().strip()[:4])
"""
    result = subprocess.run(["warm", code], capture_output=True, text=True, timeout=5 * PATIENCE_S)
    expect(result.stderr, "")
    expect(re.findall(r"^\d.*", result.stdout, re.M), ["38 1 2 0::/"] * 3)


def calls_of_the_resident():
    """The same of a cold start."""
    code = "import ctypes; l = ctypes.CDLL(None, use_errno=True)\n" \
        "for n in (435, 317): l.syscall(n, 1, 0, 0); print(ctypes.get_errno())"
    expect(run(["/usr/bin/python3", "-c", code])["stdout"], "38\n1\n")


# Hundreds of starts, which an emulated machine has no time for.
LONG = ("programs_end_warm_as_they_end_cold", "a_supervisor_killed_at_any_point")


def system_tests(group):
    """A group of the system tests; those have many runs in one slot."""
    skipped = [word for name in LONG for word in ("--skip", name)]
    command = ["/target/debug/deps/system-tests", group, *skipped]
    result = subprocess.run(command, capture_output=True, text=True, cwd="/tmp")
    failed = re.findall(r"^test (\S+) +\.\.\. FAILED", result.stdout, re.M)
    assert result.returncode == 0, f"{failed}\n{result.stdout[-6000:]}\n{result.stderr[-2000:]}"
    return re.search(r"\d+ passed; \d+ failed", result.stdout).group(0)


def system_sandbox():
    return system_tests("sandbox::")


def system_warm():
    return system_tests("warm::")


def system_rootless():
    """An ordinary user in a group that was delegated. Without one, version 2 is as version 1."""
    return system_tests("rootless::delegated")


def system_faults():
    return system_tests("faults::")


TESTS = [
    preflight, exit_code, signalled, cpu_limit, wall_limit, memory_limit, memory_below_limit,
    peak_of_children, pids_limit, fork_bomb, cpu_time_of_children, group_is_hidden,
    in_group_of_its_own, beside_other_processes, without_controllers, without_cpu_controller,
    in_a_pod, two_services, killed_service, killed_service_elsewhere, calls_of_the_resident,
    warm_interpreter, system_sandbox, system_warm, system_rootless, system_faults,
]  # fmt: skip


def leftovers():
    """What a test may have left, by name."""
    groups = {str(folder) for folder in GROUPS.rglob("*") if folder.is_dir()}
    locks = {str(lock) for lock in LOCKS.glob("*")} if LOCKS.exists() else set()
    mounts = {f"mount {line.split()[4]}" for line in pathlib.Path("/proc/self/mountinfo").open()}
    processes = set()
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (line := (entry / "cmdline").read_bytes()):
                processes.add(f"process {entry.name} {line[:60]!r}")
    return groups | locks | mounts | processes


def settled(before):
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return not leftovers() - before


def check(test):
    """Runs one test; returns whether it passed and a remark."""
    before = leftovers()
    try:
        remark = test() or ""
        passed = True
    except Exception as error:
        passed, remark = False, f"{type(error).__name__}: {error}"
    try:
        until("nothing is left", lambda: settled(before))
    except AssertionError:
        passed, remark = False, f"{remark} LEFT: {sorted(leftovers() - before)}"
    return passed, remark


def main():
    wanted = re.search(r"assay_tests=(\S+)", pathlib.Path("/proc/cmdline").read_text())
    names = wanted.group(1).split(",") if wanted else []
    tests = [test for test in TESTS if not names or test.__name__ in names]
    began, failed = time.monotonic(), 0
    for test in tests:
        start_s = time.monotonic()
        passed, remark = check(test)
        failed += not passed
        verdict = "ok  " if passed else "FAIL"
        print(f"VM-TEST {verdict} {test.__name__:<26} {time.monotonic() - start_s:6.1f} s  {remark}", flush=True)
    release, seconds = os.uname().release, time.monotonic() - began
    print(f"VM-SUMMARY kernel={release} tests={len(tests)} seconds={seconds:.0f} failed={failed}", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
