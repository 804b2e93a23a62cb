"""A stand-in for the service that answers from a script: for the faults that the real one has seldom."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Dict, List, Optional


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that leaves is what some tests are about."""


class StandIn:
    """Each request takes the next step of the script; the last is repeated."""

    def __init__(self, *script: Callable[["Handler"], None]) -> None:
        self.script, self.seen = list(script), []  # type: ignore[var-annotated]
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.stand_in = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def step(self, body: Any, headers: Dict[str, str]) -> Callable[["Handler"], None]:
        with self._lock:
            self.seen.append((body, headers))
            return self.script[min(len(self.seen), len(self.script)) - 1]

    def __enter__(self) -> "StandIn":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    body: Any = None

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        self.body = json.loads(self.rfile.read(length) or b"null")
        self.server.stand_in.step(self.body, dict(self.headers))(self)  # type: ignore[attr-defined]

    do_GET = do_PUT = do_DELETE = do_POST

    def log_message(self, *_: object) -> None:
        pass


def status(code: int, body: Any = None, **headers: str) -> Callable[[Handler], None]:
    """A reply with a status, and headers whose `_` are `-`."""

    def step(handler: Handler) -> None:
        content = json.dumps(body).encode()
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return step


def hang_up(handler: Handler) -> None:
    """No reply at all."""
    handler.close_connection = True


def results(
    *rewards: Optional[float],
    broken: bool = False,
    retryable: bool = True,
    number: Optional[int] = None,
) -> Callable[[Handler], None]:
    """A stream of results in reverse order; None is a failure of class infrastructure. `broken` breaks it off
    after them; `number` is that of the first."""

    def step(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        lines: List[Dict[str, Any]] = [_result(at, it, retryable) for at, it in enumerate(rewards)]
        for at, line in enumerate(reversed(lines)):
            if number is not None:
                line["number"] = number + at
            content = json.dumps(line).encode() + b"\n"
            # A line in two pieces: chunks are not lines.
            for part in (content[:7], content[7:]):
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        if broken:
            handler.close_connection = True
        else:
            handler.wfile.write(b"0\r\n\r\n")

    return step


def _result(index: int, reward: Optional[float], retryable: bool) -> Dict[str, Any]:
    failure = {"class": "infrastructure", "retryable": retryable, "message": "a slot failed"}
    return {
        "id": None,
        "index": index,
        "reward": reward,
        "valid": reward is not None,
        "verdict": None if reward is None else "accepted" if reward == 1.0 else "wrong_answer",
        "failure": failure if reward is None else None,
    }
