"""What comes back for a submission."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional


@dataclass(frozen=True)
class Failure:
    """How the judge failed. ``kind`` is the service's class, or ``client`` where no answer came."""

    kind: str
    retryable: bool
    message: str


@dataclass(frozen=True)
class Result:
    """A verdict and a reward, or a failure: ``reward`` is None exactly where ``valid`` is false."""

    index: int
    id: Optional[str]
    reward: Optional[float]
    valid: bool
    verdict: Optional[str]
    failure: Optional[Failure]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def accepted(self) -> bool:
        """Whether the submission is right."""
        return self.verdict == "accepted"

    @property
    def group(self) -> Optional[str]:
        """The group of its rollout."""
        return self.raw.get("group")

    @property
    def number(self) -> Optional[int]:
        """Its number in a batch's stream, after which :meth:`Batch.results` goes on."""
        return self.raw.get("number")

    @classmethod
    def of_wire(cls, raw: Mapping[str, Any]) -> Result:
        """The result that the service sent."""
        failure = raw.get("failure")
        return cls(
            index=int(raw["index"]),
            id=raw.get("id"),
            reward=raw.get("reward"),
            valid=bool(raw.get("valid")),
            verdict=raw.get("verdict"),
            failure=failure
            and Failure(failure["class"], bool(failure["retryable"]), failure["message"]),
            raw=raw,
        )

    @classmethod
    def missing(cls, index: int, message: str) -> Result:
        """The result of a submission for which no answer came."""
        failure = Failure("client", True, message)
        return cls(index, None, None, False, None, failure, {})

    def at(self, index: int) -> Result:
        """The same result at another place."""
        return Result(
            index, self.id, self.reward, self.valid, self.verdict, self.failure, self.raw
        )


@dataclass(frozen=True)
class Execution:
    """What a cell of a session did: ``outputs`` in Jupyter's shapes."""

    status: str
    outputs: List[Dict[str, Any]]
    stopped: Optional[str]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of_wire(cls, raw: Mapping[str, Any]) -> Execution:
        """What the service sent."""
        return cls(raw["status"], list(raw["outputs"]), raw.get("stopped"), raw)

    @property
    def ok(self) -> bool:
        """Whether it ran to its end."""
        return self.status == "ok"

    @property
    def stdout(self) -> str:
        """What it printed."""
        return self._text("stdout")

    @property
    def stderr(self) -> str:
        """What it printed beside that."""
        return self._text("stderr")

    @property
    def value(self) -> Optional[str]:
        """The text of its last expression's value."""
        shown = (it for it in self.outputs if it["output_type"] == "execute_result")
        return next((it["data"].get("text/plain") for it in shown), None)

    @property
    def error(self) -> Optional[Mapping[str, Any]]:
        """What it raised: ``ename``, ``evalue``, ``traceback``."""
        return next((it for it in self.outputs if it["output_type"] == "error"), None)

    def _text(self, stream: str) -> str:
        said = (it for it in self.outputs if it["output_type"] == "stream")
        return "".join(it["text"] for it in said if it["name"] == stream)
