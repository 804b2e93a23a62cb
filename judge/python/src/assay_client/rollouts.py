"""Which submissions of a batch still want a result. No I/O: both clients do as this says."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

from .errors import NotJudged
from .result import Result

INVALID = ("none", "raise")


class Pending:
    """The results of a batch as they come in. A failure that may pass is asked for again."""

    def __init__(self, submissions: Sequence[Mapping[str, Any]], rounds_max: int) -> None:
        self._submissions = list(submissions)
        self._results: Dict[int, Result] = {}
        self._sent: List[int] = []
        self._open = set(range(len(self._submissions)))
        self._rounds_left = rounds_max
        self.reason = "no answer came before the deadline"

    def send(self) -> List[Mapping[str, Any]]:
        """What is to be sent now."""
        self._sent = sorted(self._open)
        return [self._submissions[at] for at in self._sent]

    def note(self, raw: Mapping[str, Any]) -> Optional[Result]:
        """Notes a result of what was sent; gives it where no later round may better it."""
        result = Result.of_wire(raw)
        result = result.at(self._sent[result.index])
        self._results[result.index] = result
        self._open.discard(result.index)
        return None if self._may_be_bettered(result) else result

    def _may_be_bettered(self, result: Result) -> bool:
        failure = result.failure
        return failure is not None and failure.retryable and self._rounds_left > 0

    def next_round(self) -> bool:
        """After a whole reply: whether something is to be sent again."""
        late = self._open
        self._open = {at for at, it in self._results.items() if self._may_be_bettered(it)} | late
        self._rounds_left -= 1
        return bool(self._open)

    def unanswered(self) -> List[Result]:
        """What is left when no more is sent: the last failure, or that no answer came."""
        return [
            self._results.get(at) or Result.missing(at, self.reason) for at in sorted(self._open)
        ]

    def results(self) -> List[Result]:
        """All results, in the order of the submissions."""
        return [
            self._results.get(at) or Result.missing(at, self.reason)
            for at in range(len(self._submissions))
        ]


def checked(result: Result, invalid: str) -> Result:
    """The result, or an error where there is no verdict and the policy says so."""
    if invalid == "raise" and not result.valid:
        raise NotJudged(result)
    return result


def policy(invalid: Optional[str]) -> str:
    """A policy by its name."""
    name = invalid or "none"
    if name not in INVALID:
        raise ValueError(f"invalid={name!r}: must be one of {', '.join(INVALID)}")
    return name
