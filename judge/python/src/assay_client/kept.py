"""What the service keeps for a client of threads: batches that go on without a connection, and sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Optional

from .operations import file_path, given
from .result import Execution, Result

if TYPE_CHECKING:
    from .client import Client


class Batch:
    """A batch that goes on when its connection is gone. ``id`` finds it again (``Client.find_batch``)."""

    def __init__(self, client: Client, batch: str) -> None:
        self._client, self.id = client, batch

    def status(self) -> Dict[str, Any]:
        """``status``, ``submissions``, ``answered``, ``groups`` and the ``results`` so far."""
        return dict(self._client.call("GET", f"/v1/batches/{self.id}"))

    def results(self, after: int = 0, *, deadline: Optional[float] = None) -> Iterator[Result]:
        """Results as they come, from the one after a number (``result.number``) to the last."""
        return self._client.gives(self._client.operations.batch_results(self.id, after, deadline))

    def cancel(self) -> Dict[str, Any]:
        """Ends it: what has no result is not valid, of kind ``cancelled``."""
        return dict(self._client.call("DELETE", f"/v1/batches/{self.id}"))


class Session:
    """An interpreter that is kept between cells. Leaving the ``with`` block ends it."""

    def __init__(self, client: Client, info: Mapping[str, Any]) -> None:
        self._client, self.id = client, str(info["id"])
        self.engine, self.image = info["engine"], info["image"]

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def execute(self, code: str, **options: Any) -> Execution:
        """Runs a cell: ``silent``, ``cpu_time_ms``, ``wall_time_ms``. It is never run twice."""
        return self._client.run_to_end(
            self._client.operations.execute(self.id, given(code=code, **options))
        )

    def stream(self, code: str, **options: Any) -> Iterator[Dict[str, Any]]:
        """Runs a cell and yields messages in Jupyter's shape; leaving off interrupts it."""
        return self._client.gives(
            self._client.operations.cell_events(self.id, given(code=code, **options))
        )

    def interrupt(self) -> Dict[str, Any]:
        """Interrupts the cell that runs."""
        return self._client.run_to_end(self._client.operations.control(self.id, "interrupt"))

    def restart(self) -> Dict[str, Any]:
        """Begins anew; files stay."""
        return self._client.run_to_end(self._client.operations.control(self.id, "restart"))

    def info(self) -> Dict[str, Any]:
        """What it is doing."""
        return dict(self._client.call("GET", f"/v1/sessions/{self.id}"))

    def files(self) -> List[Dict[str, Any]]:
        """Its files: ``path``, ``kind``, ``bytes``."""
        return list(self._client.call("GET", f"/v1/sessions/{self.id}/files")["files"])

    def read(self, path: str) -> bytes:
        """A file."""
        return self._client.fetch("GET", file_path(self.id, path))

    def write(self, path: str, content: bytes) -> None:
        """Makes a file."""
        self._client.fetch("PUT", file_path(self.id, path), content)

    def close(self) -> None:
        """Ends it."""
        self._client.run_to_end(self._client.operations.close_session(self.id))
