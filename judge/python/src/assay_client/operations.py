"""What clients do, without any I/O: which request goes next, what becomes of its reply, when to try again.

An operation is a generator. It yields what is to be done and is sent what came of it: a :class:`Head` for
:class:`Send`, a part of the body (empty at its end) for :class:`Read`, nothing for :class:`Pause` and
:class:`Give`. A transport that fails throws :class:`Broken` into it. Both clients only do as they are told
(:mod:`assay_client.client`, :mod:`assay_client.aio`).
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Generator, List, Mapping, Optional, Sequence, TypeVar, Union
from urllib.parse import quote

from . import wire
from .errors import RequestRefused, ServiceUnavailable
from .result import Execution, Result
from .retries import RETRIED_STATUSES, Deadline, Retries, seconds_of
from .rollouts import Pending

JSON = "application/json"
#: Statuses of requests that were not begun: these may be sent again whatever they do.
NOT_BEGUN = frozenset((429, 503))


@dataclass(frozen=True)
class Send:
    """A request; what was left of an earlier reply is not wanted any more."""

    method: str
    path: str
    content: bytes
    left: Deadline
    accept: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Not on a connection that may have been closed meanwhile: it must not be done twice.
    once: bool = False


@dataclass(frozen=True)
class Read:
    """A part of the reply's body is wanted."""


@dataclass(frozen=True)
class Pause:
    """Nothing is to be done for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Give:
    """Something for the caller."""

    item: Any


@dataclass(frozen=True)
class Done:
    """The operation has ended; said by transports, not by operations."""

    value: Any


@dataclass(frozen=True)
class Head:
    """The head of a reply."""

    status: int
    retry_after: Optional[str] = None


Effect = Union[Send, Read, Pause, Give]
T = TypeVar("T")
Operation = Generator[Effect, Any, T]


class Broken(Exception):
    """The connection failed, or the time for it was over."""


class _Refused(Exception):
    """A reply after which the request may be sent again."""

    def __init__(self, status: int, retry_after: Optional[float]) -> None:
        super().__init__(f"the service answered {status}")
        self.status, self.retry_after = status, retry_after


def next_effect(
    operation: Operation[Any], answer: Any, failure: Optional[Broken]
) -> Union[Effect, Done]:
    """The operation's next wish, after what came of the last."""
    try:
        return operation.send(answer) if failure is None else operation.throw(failure)
    except StopIteration as end:
        return Done(end.value)


def _rest() -> Operation[bytes]:
    parts: List[bytes] = []
    while True:
        part = yield Read()
        if not part:
            return b"".join(parts)
        parts.append(part)


def _begin(send: Send) -> Operation[None]:
    """Sends a request; its reply has a status 2xx."""
    head = yield send
    if 200 <= head.status < 300:
        return
    content = yield from _rest()
    if head.status in RETRIED_STATUSES:
        raise _Refused(head.status, seconds_of(head.retry_after))
    raise wire.refusal(head.status, content)


def _each_line(send: Send, heard: Callable[[Any], Any]) -> Operation[None]:
    """Sends a request and gives what ``heard`` makes of each line of the reply, where that is something."""
    yield from _begin(send)
    buffer = bytearray()
    while True:
        part = yield Read()
        if not part:
            break
        buffer += part
        for line in wire.lines_of(buffer):
            item = heard(json.loads(line))
            if item is not None:
                yield Give(item)
        if send.left.left() == 0.0:
            raise Broken("the deadline passed")
    if buffer.strip():
        raise Broken("the reply broke off")


class _Tries:
    """How often something was tried, and whether it is tried again."""

    def __init__(self, retries: Retries, left: Deadline) -> None:
        self.count, self._retries, self._left = 0, retries, left

    def again(self, error: Optional[Exception]) -> Optional[Pause]:
        """The pause before the next try; None where there is none."""
        self.count += 1
        pause = self._retries.pause(self.count, getattr(error, "retry_after", None))
        if self.count >= self._retries.tries_max or not self._left.allows(pause):
            return None
        return Pause(pause)

    def heard(self, item: T) -> T:
        """Something came: the service is there, and tries begin anew."""
        self.count = 0
        return item

    def given_up(self, error: Exception) -> ServiceUnavailable:
        return ServiceUnavailable(str(error), self.count, getattr(error, "status", None))


class Operations:
    """All operations, with what they have in common."""

    def __init__(self, retries: Retries, rounds_max: int, deadline: Optional[float]) -> None:
        self._retries, self._rounds_max, self._deadline = retries, rounds_max, deadline

    def _left(self, deadline: Optional[float]) -> Deadline:
        return Deadline(self._deadline if deadline is None else deadline)

    def fetch(
        self,
        method: str,
        path: str,
        content: bytes = b"",
        *,
        deadline: Optional[float] = None,
        headers: Optional[Mapping[str, str]] = None,
        once: bool = False,
    ) -> Operation[bytes]:
        """The body of a reply. A request that must not be done twice (``once``) is sent again only where
        it was not begun."""
        left = self._left(deadline)
        send = Send(method, path, content, left, JSON, headers or {}, once)
        tries = _Tries(self._retries, left)
        while True:
            try:
                yield from _begin(send)
                return (yield from _rest())
            except (_Refused, Broken) as error:
                failed: Exception = error
            may_repeat = not once or getattr(failed, "status", None) in NOT_BEGUN
            pause = tries.again(failed)
            if pause is None or not may_repeat:
                raise tries.given_up(failed)
            yield pause

    def call(
        self, method: str, path: str, body: Any = None, **options: Any
    ) -> Operation[Any]:
        """JSON for JSON; options as for :meth:`fetch`."""
        content = b"" if body is None else wire.encode(body)
        answer = yield from self.fetch(method, path, content, **options)
        return json.loads(answer) if answer else None

    def stream(
        self,
        submissions: Sequence[Mapping[str, Any]],
        groups: Sequence[Mapping[str, Any]],
        deadline: Optional[float],
        more: Mapping[str, Any],
    ) -> Operation[None]:
        """Gives each result once, when it is known. What is missing or may be better is asked again."""
        left = self._left(deadline)
        pending = Pending(submissions, groups, self._rounds_max)
        tries = _Tries(self._retries, left)
        while pending.send():
            failed: Optional[Exception] = None
            content = wire.encode({**pending.body(), **more})
            try:
                send = Send("POST", "/v1/judge", content, left, wire.NDJSON)
                yield from _each_line(send, lambda line: tries.heard(pending.note(line)))
                if not pending.next_round():
                    return
            except (_Refused, Broken) as error:
                failed, pending.reason = error, str(error)
            pause = tries.again(failed)
            if pause is None:
                for result in pending.unanswered():
                    yield Give(result)
                return
            yield pause

    # Batches.

    def begin_batch(
        self, body: Mapping[str, Any], key: Optional[str], deadline: Optional[float]
    ) -> Operation[Dict[str, Any]]:
        """Begins a batch. It names itself, so that a try that was not heard of begins no second."""
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        begun = yield from self.call(
            "POST", "/v1/batches", body, headers=headers, deadline=deadline
        )
        return dict(begun)

    def batch_results(
        self, batch: str, after: int, deadline: Optional[float]
    ) -> Operation[None]:
        """Gives the results after a number; a stream that breaks goes on after the last."""
        left = self._left(deadline)
        tries = _Tries(self._retries, left)
        last = after

        def heard(line: Mapping[str, Any]) -> Result:
            nonlocal last
            last = int(line["number"])
            return tries.heard(Result.of_wire(line))

        while True:
            path = f"/v1/batches/{batch}/events?after={last}"
            failed: Optional[Exception] = None
            try:
                yield from _each_line(Send("GET", path, b"", left, wire.NDJSON), heard)
                return
            except (_Refused, Broken) as error:
                failed = error
            pause = tries.again(failed)
            if pause is None:
                raise tries.given_up(failed)
            yield pause

    # Sessions.

    def open_session(self, request: Mapping[str, Any]) -> Operation[Dict[str, Any]]:
        """Opens a session; a full service is asked again, a second one is never left open."""
        return dict((yield from self.call("POST", "/v1/sessions", request, once=True)))

    def execute(self, session: str, request: Mapping[str, Any]) -> Operation[Execution]:
        """Runs a cell, never twice."""
        path = f"/v1/sessions/{session}/execute"
        return Execution.of_wire((yield from self.call("POST", path, request, once=True)))

    def cell_events(self, session: str, request: Mapping[str, Any]) -> Operation[None]:
        """Runs a cell and gives what it says as it comes; the last is how it ended."""
        left = self._left(None)
        path = f"/v1/sessions/{session}/execute"
        try:
            send = Send("POST", path, wire.encode(request), left, wire.NDJSON, once=True)
            yield from _each_line(send, lambda line: line)
        except (_Refused, Broken) as error:
            raise ServiceUnavailable(str(error), 1, getattr(error, "status", None))

    def control(self, session: str, what: str) -> Operation[Dict[str, Any]]:
        """Interrupts or restarts."""
        return dict((yield from self.call("POST", f"/v1/sessions/{session}/{what}", once=True)))

    def close_session(self, session: str) -> Operation[None]:
        """Ends a session; one that is not there any more has ended."""
        try:
            yield from self.fetch("DELETE", f"/v1/sessions/{session}")
        except RequestRefused as refused:
            if refused.status != 404:
                raise


def file_path(session: str, path: str) -> str:
    """Where a file of a session is."""
    return f"/v1/sessions/{session}/files/{quote(path)}"


def given(**fields: Any) -> Dict[str, Any]:
    """The fields that are given."""
    return {name: value for name, value in fields.items() if value is not None}
