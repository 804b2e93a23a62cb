"""The client of threads. One may be shared: each call takes a connection of its own from a pool."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from . import wire
from .errors import ServiceUnavailable
from .result import Result
from .retries import RETRIED_STATUSES, Deadline, Retries, seconds_of
from .rollouts import Pending, checked, policy

_BROKEN = (OSError, http.client.HTTPException)
_IDLE_MAX = 64


class _Refused(Exception):
    """A reply after which the request may be sent again."""

    def __init__(self, status: int, retry_after: Optional[float]) -> None:
        super().__init__(f"the service answered {status}")
        self.status, self.retry_after = status, retry_after


class Client:
    """Speaks to one service.

    ``invalid`` says what becomes of a result without verdict: ``"none"`` gives it back (its reward is
    None), ``"raise"`` raises :class:`NotJudged`. ``deadline`` is the time in seconds for a whole call,
    tries and pauses included; ``timeout`` that for one silence of the service.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        *,
        api_key: Optional[str] = None,
        invalid: str = "none",
        deadline: Optional[float] = None,
        timeout: float = 600.0,
        retries: Optional[Retries] = None,
        rounds_max: int = 2,
        context: Optional[ssl.SSLContext] = None,
    ) -> None:
        self._address = wire.Address.of(url)
        self._context = self._address.context(context)
        self._api_key, self._invalid = api_key, policy(invalid)
        self._deadline, self._timeout = deadline, timeout
        self._retries, self._rounds_max = retries or Retries(), rounds_max
        self._idle: List[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def judge(
        self,
        submission: Mapping[str, Any],
        *,
        invalid: Optional[str] = None,
        deadline: Optional[float] = None,
    ) -> Result:
        """Judges one submission."""
        return self.judge_batch([submission], invalid=invalid, deadline=deadline)[0]

    def judge_batch(
        self,
        submissions: Sequence[Mapping[str, Any]],
        *,
        invalid: Optional[str] = None,
        deadline: Optional[float] = None,
    ) -> List[Result]:
        """Judges many; results in the order of the submissions. What has none at the deadline is not
        valid, and the others stand."""
        results = list(self.stream(submissions, deadline=deadline))
        results.sort(key=lambda result: result.index)
        rule = policy(invalid or self._invalid)
        return [checked(result, rule) for result in results]

    def stream(
        self, submissions: Sequence[Mapping[str, Any]], *, deadline: Optional[float] = None
    ) -> Iterator[Result]:
        """Judges many and yields each result once, when it is known; ``index`` tells which it is."""
        left = Deadline(self._deadline if deadline is None else deadline)
        pending = Pending(submissions, self._rounds_max)
        tries = 0
        while True:
            sent = pending.send()
            if not sent:
                return
            retry_after = None
            try:
                for raw in self._lines({"submissions": sent}, left):
                    tries = 0
                    result = pending.note(raw)
                    if result is not None:
                        yield result
                if not pending.next_round():
                    return
            except (_Refused, *_BROKEN) as error:
                pending.reason = str(error) or type(error).__name__
                retry_after = getattr(error, "retry_after", None)
            tries += 1
            pause = self._retries.pause(tries, retry_after)
            if tries >= self._retries.tries_max or not left.allows(pause):
                yield from pending.unanswered()
                return
            time.sleep(pause)

    def run(self, **request: Any) -> Dict[str, Any]:
        """Runs a program without judging it: ``language``, ``source``, ``stdin``, ``args``, ``files``, ``limits``."""
        return dict(self.call("POST", "/v1/run", request))

    def languages(self) -> List[Dict[str, Any]]:
        """The languages, available or not."""
        return list(self.call("GET", "/v1/languages")["languages"])

    def call(
        self, method: str, path: str, body: Any = None, *, deadline: Optional[float] = None
    ) -> Any:
        """Any request of the interface that may be sent twice; tries again as it does for all."""
        left = Deadline(self._deadline if deadline is None else deadline)
        content = b"" if body is None else wire.encode(body)
        tries = 0
        while True:
            tries += 1
            retry_after, status = None, None
            try:
                with self._sent(method, path, content, "application/json", left) as reply:
                    answer = reply.read()
                return json.loads(answer) if answer else None
            except (_Refused, *_BROKEN) as error:
                reason = str(error) or type(error).__name__
                retry_after = getattr(error, "retry_after", None)
                status = getattr(error, "status", None)
            pause = self._retries.pause(tries, retry_after)
            if tries >= self._retries.tries_max or not left.allows(pause):
                raise ServiceUnavailable(reason, tries, status)
            time.sleep(pause)

    def _lines(self, body: Any, left: Deadline) -> Iterator[Mapping[str, Any]]:
        content = wire.encode(body)
        with self._sent("POST", "/v1/judge", content, wire.NDJSON, left) as reply:
            buffer = bytearray()
            while True:
                # What is there, not a whole block: a result is not to wait for the next.
                part = reply.read1(1 << 16)
                if not part:
                    break
                buffer += part
                for line in wire.lines_of(buffer):
                    yield json.loads(line)
                if left.left() == 0.0:
                    raise TimeoutError("the deadline passed")
            if buffer.strip():
                raise http.client.IncompleteRead(bytes(buffer))

    @contextmanager
    def _sent(
        self, method: str, path: str, content: bytes, accept: str, left: Deadline
    ) -> Iterator[http.client.HTTPResponse]:
        """A reply with status 2xx. The connection is kept only where it was read to its end."""
        connection, is_new = self._connection(left)
        fields = wire.headers(self._address, self._api_key, accept)
        clean = False
        try:
            try:
                connection.request(method, self._address.prefix + path, content, fields)
                reply = connection.getresponse()
            except _BROKEN:
                if is_new:
                    raise
                # The service may close an idle connection at any time; that says nothing of it.
                connection.close()
                connection, _ = self._connection(left, fresh=True)
                connection.request(method, self._address.prefix + path, content, fields)
                reply = connection.getresponse()
            if reply.status in RETRIED_STATUSES:
                reply.read()
                clean = True
                raise _Refused(reply.status, seconds_of(reply.headers.get("Retry-After")))
            if not 200 <= reply.status < 300:
                error = wire.refusal(reply.status, reply.read())
                clean = True
                raise error
            yield reply
            clean = reply.isclosed()
        finally:
            if clean and len(self._idle) < _IDLE_MAX:
                with self._lock:
                    self._idle.append(connection)
            else:
                connection.close()

    def _connection(
        self, left: Deadline, fresh: bool = False
    ) -> Tuple[http.client.HTTPConnection, bool]:
        timeout = left.timeout(self._timeout)
        if not fresh:
            with self._lock:
                idle = self._idle.pop() if self._idle else None
            if idle is not None:
                if idle.sock is not None:
                    idle.sock.settimeout(timeout)
                return idle, False
        host, port = self._address.host, self._address.port
        if self._context is None:
            return http.client.HTTPConnection(host, port, timeout=timeout), True
        return (
            http.client.HTTPSConnection(host, port, timeout=timeout, context=self._context),
            True,
        )
