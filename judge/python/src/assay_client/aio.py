"""The client of tasks: the same calls, awaited. One connection a request; a task that is cancelled closes
its connection, and the service ends what it ran."""

from __future__ import annotations

import asyncio
import ssl
from typing import (
    Any,
    AsyncGenerator,
    AsyncIterator,
    Dict,
    List,
    Mapping,
    Optional,
    Sequence,
    TypeVar,
    Union,
)

from . import wire
from .kept_aio import AsyncBatch, AsyncSession
from .operations import Broken, Done, Give, Head, Operation, Operations, Pause, Send, given, next_effect
from .result import Result
from .retries import Deadline, Retries
from .rollouts import ordered, policy

_BROKEN = (OSError, EOFError, asyncio.TimeoutError, asyncio.LimitOverrunError)
_HEAD_BYTES_MAX = 64 << 10
T = TypeVar("T")


class AsyncClient:
    """Speaks to one service; as :class:`Client`, and safe for any number of tasks of one loop.

    ``connections_max`` bounds the requests under way; others wait for their turn.
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
        connections_max: int = 256,
    ) -> None:
        self._address = wire.Address.of(url)
        self._context = self._address.context(context)
        self._api_key, self._invalid, self._timeout = api_key, policy(invalid), timeout
        self.operations = Operations(retries or Retries(), rounds_max, deadline)
        self._connections_max = connections_max
        self._turns: Optional[asyncio.Semaphore] = None
        self._loop: Optional[asyncio.AbstractEventLoop] = None

    async def judge(
        self,
        submission: Mapping[str, Any],
        *,
        invalid: Optional[str] = None,
        deadline: Optional[float] = None,
        deadline_ms: Optional[int] = None,
        priority: Optional[str] = None,
    ) -> Result:
        """See :meth:`Client.judge`."""
        more = {"deadline": deadline, "deadline_ms": deadline_ms, "priority": priority}
        return (await self.judge_batch([submission], invalid=invalid, **more))[0]

    async def judge_batch(
        self,
        submissions: Sequence[Mapping[str, Any]] = (),
        *,
        groups: Sequence[Mapping[str, Any]] = (),
        invalid: Optional[str] = None,
        deadline: Optional[float] = None,
        deadline_ms: Optional[int] = None,
        priority: Optional[str] = None,
    ) -> List[Result]:
        """See :meth:`Client.judge_batch`."""
        rule = policy(invalid or self._invalid)
        more = {"deadline": deadline, "deadline_ms": deadline_ms, "priority": priority}
        results = self.stream(submissions, groups=groups, **more)
        return ordered([result async for result in results], rule)

    def stream(
        self,
        submissions: Sequence[Mapping[str, Any]] = (),
        *,
        groups: Sequence[Mapping[str, Any]] = (),
        deadline: Optional[float] = None,
        deadline_ms: Optional[int] = None,
        priority: Optional[str] = None,
    ) -> AsyncIterator[Result]:
        """See :meth:`Client.stream`."""
        more = given(deadline_ms=deadline_ms, priority=priority)
        return self.gives(self.operations.stream(submissions, groups, deadline, more))

    async def batch(
        self,
        submissions: Sequence[Mapping[str, Any]] = (),
        *,
        groups: Sequence[Mapping[str, Any]] = (),
        deadline_ms: Optional[int] = None,
        priority: Optional[str] = None,
        key: Optional[str] = None,
    ) -> AsyncBatch:
        """See :meth:`Client.batch`."""
        body = given(deadline_ms=deadline_ms, priority=priority)
        body.update(submissions=list(submissions), groups=list(groups))
        begun = await self.run_to_end(self.operations.begin_batch(body, key, None))
        return AsyncBatch(self, begun["id"])

    def find_batch(self, batch: str) -> AsyncBatch:
        """See :meth:`Client.find_batch`."""
        return AsyncBatch(self, batch)

    async def session(self, **request: Any) -> AsyncSession:
        """See :meth:`Client.session`."""
        return AsyncSession(self, await self.run_to_end(self.operations.open_session(request)))

    async def run(self, **request: Any) -> Dict[str, Any]:
        """See :meth:`Client.run`."""
        return dict(await self.call("POST", "/v1/run", request))

    async def languages(self) -> List[Dict[str, Any]]:
        """See :meth:`Client.languages`."""
        return list((await self.call("GET", "/v1/languages"))["languages"])

    async def call(
        self, method: str, path: str, body: Any = None, *, deadline: Optional[float] = None
    ) -> Any:
        """See :meth:`Client.call`."""
        return await self.run_to_end(self.operations.call(method, path, body, deadline=deadline))

    async def fetch(
        self, method: str, path: str, content: bytes = b"", *, deadline: Optional[float] = None
    ) -> bytes:
        """See :meth:`Client.fetch`."""
        operation = self.operations.fetch(method, path, content, deadline=deadline)
        return await self.run_to_end(operation)

    async def gives(self, operation: Operation[Any]) -> AsyncIterator[Any]:
        """What an operation gives, as it comes."""
        steps = self._steps(operation)
        try:
            async for step in steps:
                if isinstance(step, Give):
                    yield step.item
        finally:
            # Without this a loop that is left closes its connection only some time later.
            await steps.aclose()

    async def run_to_end(self, operation: Operation[T]) -> T:
        """What an operation comes to."""
        done = None
        async for step in self._steps(operation):
            done = step if isinstance(step, Done) else done
        assert done is not None
        value: T = done.value
        return value

    async def _steps(self, operation: Operation[Any]) -> AsyncGenerator[Union[Give, Done], None]:
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
                    await asyncio.sleep(effect.seconds)
                else:
                    try:
                        is_send = isinstance(effect, Send)
                        answer = await (exchange.send(effect) if is_send else exchange.read())
                    except _BROKEN as error:
                        failure = Broken(str(error) or type(error).__name__)
        finally:
            exchange.leave()
            operation.close()

    def _turn(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        if self._turns is None or self._loop is not loop:
            self._turns, self._loop = asyncio.Semaphore(self._connections_max), loop
        return self._turns


class _Exchange:
    """A request and its reply, one at a time, on a connection of their own."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._turn: Optional[asyncio.Semaphore] = None
        self._writer: Optional[asyncio.StreamWriter] = None
        self._body: Optional[AsyncGenerator[bytes, None]] = None
        self._left = Deadline(None)

    async def send(self, send: Send) -> Head:
        self.leave()
        client, self._left = self._client, send.left
        turn = client._turn()
        await turn.acquire()
        self._turn = turn
        address = client._address
        reader, self._writer = await self._within(
            asyncio.open_connection(address.host, address.port, ssl=client._context, limit=1 << 20)
        )
        fields = {**wire.headers(address, client._api_key, send.accept), **send.headers}
        fields["Connection"] = "close"
        path = address.prefix + send.path
        self._writer.write(wire.request_bytes(send.method, path, fields, send.content))
        await self._within(self._writer.drain())
        head = await self._within(reader.readuntil(b"\r\n\r\n"))
        if len(head) > _HEAD_BYTES_MAX:
            raise ConnectionError("the head of the reply is too long")
        status, found = wire.parse_head(head)
        self._body = self._parts(reader, found, status)
        return Head(status, found.get("retry-after"))

    async def read(self) -> bytes:
        assert self._body is not None
        return await self._body.__anext__()

    def leave(self) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._turn is not None:
            self._turn.release()
        self._writer, self._turn, self._body = None, None, None

    async def _parts(
        self, reader: asyncio.StreamReader, found: Mapping[str, str], status: int
    ) -> AsyncGenerator[bytes, None]:
        """The body as it comes, then empty parts."""
        if found.get("transfer-encoding", "").lower() == "chunked":
            length = -1
            while length != 0:
                line = await self._within(reader.readuntil(b"\r\n"))
                length = int(line.split(b";")[0], 16)
                part = await self._within(reader.readexactly(length + 2))
                if length > 0:
                    yield part[:-2]
        else:
            rest = int(found["content-length"]) if "content-length" in found else None
            rest = 0 if status == 204 else rest
            while rest is None or rest > 0:
                wanted = 1 << 16 if rest is None else min(rest, 1 << 16)
                part = await self._within(reader.read(wanted))
                if not part and rest:
                    raise ConnectionError("the reply broke off")
                if not part:
                    break
                rest = None if rest is None else rest - len(part)
                yield part
        while True:
            yield b""

    async def _within(self, work: Any) -> Any:
        return await asyncio.wait_for(work, self._left.timeout(self._client._timeout))
