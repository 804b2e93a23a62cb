"""When to try again: on 429, 503 and broken connections, after a growing, spread pause, never before the
time that the service names, and never beyond the deadline.

Judging changes nothing, so that a request may be sent again whatever became of the first.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Optional

#: The longest pause, in seconds, after the time at which the service asked to come back.
SPREAD_AFTER_ASKED = 1.0
RETRIED_STATUSES = frozenset((429, 502, 503, 504))


@dataclass(frozen=True)
class Retries:
    """How often, and how long to pause."""

    tries_max: int = 8
    first_pause: float = 0.2
    pause_max: float = 30.0

    def pause(self, tries: int, retry_after: Optional[float]) -> float:
        """The pause after so many tries: spread evenly up to a doubling bound, so that clients that
        failed together do not come back together. Where the service says when to come back, shortly
        after that: it keeps a place for some seconds, and tells each another time."""
        bound = min(self.pause_max, self.first_pause * 2.0 ** min(tries - 1, 30))
        if retry_after is not None:
            return retry_after + random.uniform(0.0, min(bound, SPREAD_AFTER_ASKED))
        return random.uniform(0.0, bound)


class Deadline:
    """How much time is left; for ever where none is set."""

    def __init__(self, seconds: Optional[float]) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> Optional[float]:
        """Seconds, at least 0; None for ever."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def allows(self, pause: float) -> bool:
        """Whether there is time after a pause."""
        left = self.left()
        return left is None or left > pause

    def timeout(self, most: float) -> float:
        """Seconds to wait for one answer."""
        left = self.left()
        return most if left is None else max(0.001, min(most, left))


def seconds_of(retry_after: Optional[str]) -> Optional[float]:
    """The seconds of a ``Retry-After``; None where it is not given in seconds."""
    try:
        seconds = float(retry_after) if retry_after is not None else None
    except ValueError:
        return None
    return seconds if seconds is None or 0.0 <= seconds < 3600.0 else None
