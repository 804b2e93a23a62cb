"""The client of tasks: the same calls, awaited. One connection a request; a task that is cancelled closes
its connection, and the service ends what it ran."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any, AsyncIterator, Dict, List, Mapping, Optional, Sequence

from . import wire
from .client import _Refused
from .errors import ServiceUnavailable
from .result import Result
from .retries import RETRIED_STATUSES, Deadline, Retries, seconds_of
from .rollouts import Pending, checked, policy

_BROKEN = (OSError, EOFError, asyncio.TimeoutError, asyncio.LimitOverrunError)
_HEAD_BYTES_MAX = 64 << 10


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
        self._api_key, self._invalid = api_key, policy(invalid)
        self._deadline, self._timeout = deadline, timeout
        self._retries, self._rounds_max = retries or Retries(), rounds_max
        self._connections_max = connections_max
        self._turns: Optional[asyncio.Semaphore] = None
        self._loop: Optional[asyncio.AbstractEventLoop] = None

    async def judge(
        self,
        submission: Mapping[str, Any],
        *,
        invalid: Optional[str] = None,
        deadline: Optional[float] = None,
    ) -> Result:
        """Judges one submission."""
        return (await self.judge_batch([submission], invalid=invalid, deadline=deadline))[0]

    async def judge_batch(
        self,
        submissions: Sequence[Mapping[str, Any]],
        *,
        invalid: Optional[str] = None,
        deadline: Optional[float] = None,
    ) -> List[Result]:
        """Judges many; results in the order of the submissions. What has none at the deadline is not
        valid, and the others stand."""
        results = [result async for result in self.stream(submissions, deadline=deadline)]
        results.sort(key=lambda result: result.index)
        rule = policy(invalid or self._invalid)
        return [checked(result, rule) for result in results]

    async def stream(
        self, submissions: Sequence[Mapping[str, Any]], *, deadline: Optional[float] = None
    ) -> AsyncIterator[Result]:
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
                async for line in self._lines("/v1/judge", {"submissions": sent}, left):
                    tries = 0
                    result = pending.note(json.loads(line))
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
                for result in pending.unanswered():
                    yield result
                return
            await asyncio.sleep(pause)

    async def run(self, **request: Any) -> Dict[str, Any]:
        """Runs a program without judging it: ``language``, ``source``, ``stdin``, ``args``, ``files``, ``limits``."""
        return dict(await self.call("POST", "/v1/run", request))

    async def languages(self) -> List[Dict[str, Any]]:
        """The languages, available or not."""
        return list((await self.call("GET", "/v1/languages"))["languages"])

    async def call(
        self, method: str, path: str, body: Any = None, *, deadline: Optional[float] = None
    ) -> Any:
        """Any request of the interface that may be sent twice; tries again as it does for all."""
        left = Deadline(self._deadline if deadline is None else deadline)
        content = b"" if body is None else wire.encode(body)
        tries = 0
        while True:
            tries += 1
            try:
                parts = self._parts(method, path, content, "application/json", left)
                answer = b"".join([part async for part in parts])
                return json.loads(answer) if answer else None
            except (_Refused, *_BROKEN) as error:
                reason = str(error) or type(error).__name__
                retry_after = getattr(error, "retry_after", None)
                status = getattr(error, "status", None)
            pause = self._retries.pause(tries, retry_after)
            if tries >= self._retries.tries_max or not left.allows(pause):
                raise ServiceUnavailable(reason, tries, status)
            await asyncio.sleep(pause)

    async def _lines(self, path: str, body: Any, left: Deadline) -> AsyncIterator[bytes]:
        buffer = bytearray()
        async for part in self._parts("POST", path, wire.encode(body), wire.NDJSON, left):
            buffer += part
            for line in wire.lines_of(buffer):
                yield line
        if buffer.strip():
            raise ConnectionError("the reply broke off")

    async def _parts(
        self, method: str, path: str, content: bytes, accept: str, left: Deadline
    ) -> AsyncIterator[bytes]:
        """The body of a reply with status 2xx, as it comes."""
        async with self._turn():
            reader, writer = await self._within(
                left,
                asyncio.open_connection(
                    self._address.host,
                    self._address.port,
                    ssl=self._context,
                    limit=1 << 20,
                ),
            )
            try:
                fields = wire.headers(self._address, self._api_key, accept)
                fields["Connection"] = "close"
                writer.write(
                    wire.request_bytes(method, self._address.prefix + path, fields, content)
                )
                await self._within(left, writer.drain())
                head = await self._within(left, reader.readuntil(b"\r\n\r\n"))
                if len(head) > _HEAD_BYTES_MAX:
                    raise ConnectionError("the head of the reply is too long")
                status, found = wire.parse_head(head)
                body = self._body(reader, found, left)
                if 200 <= status < 300:
                    async for part in body:
                        yield part
                    return
                whole = b"".join([part async for part in body])
                if status in RETRIED_STATUSES:
                    raise _Refused(status, seconds_of(found.get("retry-after")))
                raise wire.refusal(status, whole)
            finally:
                writer.close()

    async def _body(
        self, reader: asyncio.StreamReader, found: Mapping[str, str], left: Deadline
    ) -> AsyncIterator[bytes]:
        if found.get("transfer-encoding", "").lower() == "chunked":
            while True:
                line = await self._within(left, reader.readuntil(b"\r\n"))
                length = int(line.split(b";")[0], 16)
                part = await self._within(left, reader.readexactly(length + 2))
                if length == 0:
                    return
                yield part[:-2]
        rest = int(found["content-length"]) if "content-length" in found else None
        while rest is None or rest > 0:
            part = await self._within(left, reader.read(1 << 16 if rest is None else min(rest, 1 << 16)))
            if not part:
                if rest:
                    raise ConnectionError("the reply broke off")
                return
            rest = None if rest is None else rest - len(part)
            yield part

    async def _within(self, left: Deadline, work: Any) -> Any:
        return await asyncio.wait_for(work, left.timeout(self._timeout))

    def _turn(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        if self._turns is None or self._loop is not loop:
            self._turns, self._loop = asyncio.Semaphore(self._connections_max), loop
        return self._turns

