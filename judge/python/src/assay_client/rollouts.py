"""Which submissions of a request still want a result. No I/O: both clients do as this says."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from .errors import NotJudged
from .result import Result

INVALID = ("none", "raise")


class Pending:
    """The results of a request as they come in. A failure that may pass is asked for again.

    Numbers are those of the request: its submissions, then the completions of its groups in turn. The
    rollouts of a group are sent together, as what they are worth may depend on the others.
    """

    def __init__(
        self,
        submissions: Sequence[Mapping[str, Any]],
        groups: Sequence[Mapping[str, Any]],
        rounds_max: int,
    ) -> None:
        self._submissions, self._groups = list(submissions), list(groups)
        self._members: List[range] = []
        count = len(self._submissions)
        for group in self._groups:
            self._members.append(range(count, count + len(group["completions"])))
            count = self._members[-1].stop
        self._results: Dict[int, Result] = {}
        self._open: Set[int] = set(range(count))
        self._sent: Tuple[List[int], List[int]] = ([], [])
        self._numbers: List[int] = []
        self._rounds_left = rounds_max
        self.reason = "no answer came before the deadline"

    def send(self) -> bool:
        """Chooses what is sent now; whether that is anything."""
        names = [submission.get("group") for submission in self._submissions]
        wanted = {name for at, name in enumerate(names) if at in self._open} - {None}
        single = [at for at, name in enumerate(names) if at in self._open or name in wanted]
        grouped = [at for at, members in enumerate(self._members) if self._open & set(members)]
        self._sent = (single, grouped)
        self._numbers = single + [number for at in grouped for number in self._members[at]]
        return bool(self._numbers)

    def body(self) -> Dict[str, Any]:
        """What is sent."""
        single, grouped = self._sent
        body: Dict[str, Any] = {"submissions": [self._submissions[at] for at in single]}
        if grouped:
            body["groups"] = [self._groups[at] for at in grouped]
        return body

    def note(self, raw: Mapping[str, Any]) -> Optional[Result]:
        """Notes a result of what was sent; gives it where no later round may better it."""
        result = Result.of_wire(raw)
        result = result.at(self._numbers[result.index])
        if result.index not in self._open:
            # It went along with others of its group, and is known.
            return None
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
        """What was given to nobody when no more is sent: the last failure, or that no answer came."""
        left = {at for at, it in self._results.items() if self._may_be_bettered(it)} | self._open
        return [self._results.get(at) or Result.missing(at, self.reason) for at in sorted(left)]


def ordered(results: List[Result], invalid: str) -> List[Result]:
    """Results in the order of the request; an error where one has no verdict and the policy says so."""
    results = sorted(results, key=lambda result: result.index)
    for result in results:
        if invalid == "raise" and not result.valid:
            raise NotJudged(result)
    return results


def policy(invalid: Optional[str]) -> str:
    """A policy by its name."""
    name = invalid or "none"
    if name not in INVALID:
        raise ValueError(f"invalid={name!r}: must be one of {', '.join(INVALID)}")
    return name
