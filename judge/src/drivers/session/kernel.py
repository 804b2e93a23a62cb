"""Speaks for a Jupyter kernel: lines of JSON on this side, its messages over ipc sockets on the other.

Runs inside the slot, with the `jupyter_client` of the image, so that nothing of its protocol has to be
understood, or trusted, outside. The kernel and its cells have the same rights as this program: whoever
reads its answers must not believe them.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile

SHOWN = {
    "stream", "display_data", "update_display_data", "execute_result", "error", "clear_output",
}
POLL_SECONDS = 1.0
START_SECONDS = 50

REQUESTS, ANSWERS = os.dup(0), os.dup(1)


def answer(kind, content):
    line = json.dumps({"type": kind, "content": content}) + "\n"
    data = memoryview(line.encode("utf-8", "replace"))
    while data:
        data = data[os.write(ANSWERS, data):]


def fail(message):
    answer("failed", {"message": message})
    sys.exit(1)


def requests():
    with open(REQUESTS, "rb", closefd=False) as lines:
        for line in lines:
            yield json.loads(line)


class Kernel:
    def __init__(self, name):
        try:
            from jupyter_client.kernelspec import NoSuchKernel
            from jupyter_client.manager import KernelManager
        except ImportError:
            fail("the image has no jupyter_client")
        # A short path: a socket's may have 107 bytes, and each kernel has five.
        folder = tempfile.mkdtemp(prefix="k", dir="/tmp")
        self.manager = KernelManager(
            kernel_name=name, transport="ipc", ip=os.path.join(folder, "s"),
            connection_file=os.path.join(folder, "kernel.json"),
        )
        self.in_cell = False
        try:
            argv = self.manager.kernel_spec.argv
            if argv[1:3] == ["-m", "ipykernel_launcher"]:
                self.manager.kernel_spec.argv = [argv[0], __file__, "--ipykernel", *argv[3:]]
            self.manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except NoSuchKernel:
            fail(f"the image has no kernel named {name!r}")
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        try:
            self.client.wait_for_ready(timeout=START_SECONDS)
        except RuntimeError as error:
            fail(f"the kernel does not answer: {error}")

    def interrupt(self, *_):
        if self.in_cell:
            self.manager.interrupt_kernel()

    def cell(self, request):
        """Runs a cell and passes on what it shows."""
        self.in_cell = True
        asked = self.client.execute(
            request["code"], store_history=request["store"], allow_stdin=False)
        self.until_idle(asked)
        reply = self.reply(asked)
        self.in_cell = False
        answer("end", {
            "id": request["id"],
            "ok": reply.get("status") == "ok",
            "execution_count": reply.get("execution_count") or 0,
        })

    def until_idle(self, asked):
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=POLL_SECONDS)
            except queue.Empty:
                self.alive()
                continue
            kind, content = message["header"]["msg_type"], message["content"]
            if message["parent_header"].get("msg_id") != asked:
                continue
            if kind == "status" and content.get("execution_state") == "idle":
                return
            if kind in SHOWN:
                answer(kind, content)

    def reply(self, asked):
        while True:
            try:
                message = self.client.get_shell_msg(timeout=POLL_SECONDS)
            except queue.Empty:
                self.alive()
                continue
            if message["parent_header"].get("msg_id") == asked:
                return message["content"]

    def alive(self):
        """A kernel that died ends this program, and so the session hears of it."""
        if not self.manager.is_alive():
            sys.exit(1)


def ipykernel():
    """An ipykernel that asks for no tcp address. Its library would ask the machine for its network
    devices first, which no program in a slot may do, and abort the kernel; without the address, it
    goes without the output of forked children."""
    import runpy
    import zmq
    from zmq.sugar.socket import Socket
    bind = Socket.bind_to_random_port

    def bind_to_random_port(self, address, *arguments, **options):
        if address.startswith("tcp:"):
            raise zmq.ZMQError(zmq.EPROTONOSUPPORT)
        return bind(self, address, *arguments, **options)

    Socket.bind_to_random_port = bind_to_random_port
    sys.argv = ["ipykernel_launcher", *sys.argv[2:]]
    sys.path[0] = ""
    runpy.run_module("ipykernel_launcher", run_name="__main__")


def main():
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):
        os.dup2(null, fd)
    os.close(null)
    # Without an import lock to break: interrupts are kept for later from the start.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    kernel = Kernel(sys.argv[1])
    signal.signal(signal.SIGINT, kernel.interrupt)
    answer("ready", {})
    for request in requests():
        kernel.cell(request)


if sys.argv[1] == "--ipykernel":
    ipykernel()
else:
    main()
