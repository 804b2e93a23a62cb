"""What comes back for a submission."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional


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
