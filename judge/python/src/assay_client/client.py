"""The client of threads. One may be shared: each call takes a connection of its own from a pool."""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, TypeVar, Union

from . import wire
from .kept import Batch, Session
from .operations import Broken, Done, Give, Head, Operation, Operations, Pause, Send, given, next_effect
from .result import Result
from .retries import Deadline, Retries
from .rollouts import ordered, policy

_BROKEN = (OSError, http.client.HTTPException)
_IDLE_MAX = 64
T = TypeVar("T")


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
        self._api_key, self._invalid, self._timeout = api_key, policy(invalid), timeout
        self.operations = Operations(retries or Retries(), rounds_max, deadline)
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
        deadline_ms: Optional[int] = None,
        priority: Optional[str] = None,
    ) -> Result:
        """Judges one submission."""
        more = {"deadline": deadline, "deadline_ms": deadline_ms, "priority": priority}
        return self.judge_batch([submission], invalid=invalid, **more)[0]

    def judge_batch(
        self,
        submissions: Sequence[Mapping[str, Any]] = (),
        *,
        groups: Sequence[Mapping[str, Any]] = (),
        invalid: Optional[str] = None,
        deadline: Optional[float] = None,
        deadline_ms: Optional[int] = None,
        priority: Optional[str] = None,
    ) -> List[Result]:
        """Judges many; results in the order of the submissions, then of the completions of each of
        ``groups`` (``{"group", "submission", "completions", "length_tokens"}``). What has none at the deadline
        is not valid, and the others stand: ``deadline`` in seconds ends the call wherever it is,
        ``deadline_ms`` is kept by the service, which starts nothing after it."""
        rule = policy(invalid or self._invalid)
        more = {"deadline": deadline, "deadline_ms": deadline_ms, "priority": priority}
        return ordered(list(self.stream(submissions, groups=groups, **more)), rule)

    def stream(
        self,
        submissions: Sequence[Mapping[str, Any]] = (),
        *,
        groups: Sequence[Mapping[str, Any]] = (),
        deadline: Optional[float] = None,
        deadline_ms: Optional[int] = None,
        priority: Optional[str] = None,
    ) -> Iterator[Result]:
        """Judges many and yields each result once, when it is known; ``index`` tells which it is."""
        more = given(deadline_ms=deadline_ms, priority=priority)
        return self.gives(self.operations.stream(submissions, groups, deadline, more))

    def batch(
        self,
        submissions: Sequence[Mapping[str, Any]] = (),
        *,
        groups: Sequence[Mapping[str, Any]] = (),
        deadline_ms: Optional[int] = None,
        priority: Optional[str] = None,
        key: Optional[str] = None,
    ) -> Batch:
        """Begins a batch that goes on without a connection. The same ``key`` and body find the same
        batch."""
        body = given(deadline_ms=deadline_ms, priority=priority)
        body.update(submissions=list(submissions), groups=list(groups))
        return Batch(self, self.run_to_end(self.operations.begin_batch(body, key, None))["id"])

    def find_batch(self, batch: str) -> Batch:
        """A batch that was begun before."""
        return Batch(self, batch)

    def session(self, **request: Any) -> Session:
        """Opens a session: ``language`` or ``kernel``, ``image``, ``limits``, ``files``,
        ``time_to_live_ms``, ``idle_time_ms``."""
        return Session(self, self.run_to_end(self.operations.open_session(request)))

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
        return self.run_to_end(self.operations.call(method, path, body, deadline=deadline))

    def fetch(
        self, method: str, path: str, content: bytes = b"", *, deadline: Optional[float] = None
    ) -> bytes:
        """The same with bytes."""
        return self.run_to_end(self.operations.fetch(method, path, content, deadline=deadline))

    def gives(self, operation: Operation[Any]) -> Iterator[Any]:
        """What an operation gives, as it comes."""
        for step in self._steps(operation):
            if isinstance(step, Give):
                yield step.item

    def run_to_end(self, operation: Operation[T]) -> T:
        """What an operation comes to."""
        done = None
        for step in self._steps(operation):
            done = step if isinstance(step, Done) else done
        assert done is not None
        value: T = done.value
        return value

    def _steps(self, operation: Operation[Any]) -> Iterator[Union[Give, Done]]:
        """Does what the operation says, and tells what it gives."""
        exchange = _Exchange(self)
        answer: Any = None
        failure: Optional[Broken] = None
        try:
            while True:
                effect = next_effect(operation, answer, failure)
                answer, failure = None, None
                if isinstance(effect, (Give, Done)):
                    yield effect
                    if isinstance(effect, Done):
                        return
                elif isinstance(effect, Pause):
                    exchange.leave()
                    time.sleep(effect.seconds)
                else:
                    try:
                        answer = exchange.send(effect) if isinstance(effect, Send) else exchange.read()
                    except _BROKEN as error:
                        failure = Broken(str(error) or type(error).__name__)
        finally:
            exchange.leave()
            operation.close()


class _Exchange:
    """A request and its reply, one at a time. The connection is kept only where a reply was read to its
    end."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._connection: Optional[http.client.HTTPConnection] = None
        self._reply: Optional[http.client.HTTPResponse] = None
        self._left = Deadline(None)

    def send(self, send: Send) -> Head:
        self.leave()
        self._left = send.left
        is_new = self._connect(fresh=send.once)
        try:
            reply = self._ask(send)
        except _BROKEN:
            if is_new:
                raise
            # The service may close an idle connection at any time; that says nothing of it.
            self.leave()
            self._connect(fresh=True)
            reply = self._ask(send)
        self._reply = reply
        return Head(reply.status, reply.headers.get("Retry-After"))

    def _ask(self, send: Send) -> http.client.HTTPResponse:
        client, connection = self._client, self._connection
        assert connection is not None
        fields = {**wire.headers(client._address, client._api_key, send.accept), **send.headers}
        connection.request(send.method, client._address.prefix + send.path, send.content, fields)
        return connection.getresponse()

    def read(self) -> bytes:
        connection, reply = self._connection, self._reply
        assert connection is not None and reply is not None
        if connection.sock is not None:
            connection.sock.settimeout(self._left.timeout(self._client._timeout))
        # What is there, not a whole block: a result is not to wait for the next.
        part = reply.read1(1 << 16)
        if not part and reply.length:
            raise http.client.IncompleteRead(b"", reply.length)
        return part

    def leave(self) -> None:
        connection, reply = self._connection, self._reply
        self._connection, self._reply = None, None
        if connection is None:
            return
        if reply is not None and reply.isclosed() and connection.sock is not None:
            with self._client._lock:
                if len(self._client._idle) < _IDLE_MAX:
                    self._client._idle.append(connection)
                    return
        if reply is not None:
            reply.close()
        connection.close()

    def _connect(self, *, fresh: bool) -> bool:
        """Whether the connection is new."""
        client, timeout = self._client, self._left.timeout(self._client._timeout)
        idle = None
        if not fresh:
            with client._lock:
                idle = client._idle.pop() if client._idle else None
        if idle is not None:
            if idle.sock is not None:
                idle.sock.settimeout(timeout)
            self._connection = idle
            return False
        host, port = client._address.host, client._address.port
        if client._context is None:
            self._connection = http.client.HTTPConnection(host, port, timeout=timeout)
        else:
            self._connection = http.client.HTTPSConnection(
                host, port, timeout=timeout, context=client._context
            )
        return True
