"""What the service keeps for a client of tasks: as :mod:`assay_client.kept`, awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, AsyncIterator, Dict, List, Mapping, Optional

from .operations import file_path, given
from .result import Execution, Result

if TYPE_CHECKING:
    from .aio import AsyncClient


class AsyncBatch:
    """As :class:`Batch`, awaited."""

    def __init__(self, client: AsyncClient, batch: str) -> None:
        self._client, self.id = client, batch

    async def status(self) -> Dict[str, Any]:
        """See :meth:`Batch.status`."""
        return dict(await self._client.call("GET", f"/v1/batches/{self.id}"))

    def results(self, after: int = 0, *, deadline: Optional[float] = None) -> AsyncIterator[Result]:
        """See :meth:`Batch.results`."""
        return self._client.gives(self._client.operations.batch_results(self.id, after, deadline))

    async def cancel(self) -> Dict[str, Any]:
        """See :meth:`Batch.cancel`."""
        return dict(await self._client.call("DELETE", f"/v1/batches/{self.id}"))


class AsyncSession:
    """As :class:`Session`, awaited: ``async with await client.session() as session``."""

    def __init__(self, client: AsyncClient, info: Mapping[str, Any]) -> None:
        self._client, self.id = client, str(info["id"])
        self.engine, self.image = info["engine"], info["image"]

    async def __aenter__(self) -> AsyncSession:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def execute(self, code: str, **options: Any) -> Execution:
        """See :meth:`Session.execute`."""
        return await self._client.run_to_end(
            self._client.operations.execute(self.id, given(code=code, **options))
        )

    def stream(self, code: str, **options: Any) -> AsyncIterator[Dict[str, Any]]:
        """See :meth:`Session.stream`."""
        return self._client.gives(
            self._client.operations.cell_events(self.id, given(code=code, **options))
        )

    async def interrupt(self) -> Dict[str, Any]:
        """See :meth:`Session.interrupt`."""
        return await self._client.run_to_end(self._client.operations.control(self.id, "interrupt"))

    async def restart(self) -> Dict[str, Any]:
        """See :meth:`Session.restart`."""
        return await self._client.run_to_end(self._client.operations.control(self.id, "restart"))

    async def info(self) -> Dict[str, Any]:
        """See :meth:`Session.info`."""
        return dict(await self._client.call("GET", f"/v1/sessions/{self.id}"))

    async def files(self) -> List[Dict[str, Any]]:
        """See :meth:`Session.files`."""
        return list((await self._client.call("GET", f"/v1/sessions/{self.id}/files"))["files"])

    async def read(self, path: str) -> bytes:
        """See :meth:`Session.read`."""
        return await self._client.fetch("GET", file_path(self.id, path))

    async def write(self, path: str, content: bytes) -> None:
        """See :meth:`Session.write`."""
        await self._client.fetch("PUT", file_path(self.id, path), content)

    async def close(self) -> None:
        """See :meth:`Session.close`."""
        await self._client.run_to_end(self._client.operations.close_session(self.id))
