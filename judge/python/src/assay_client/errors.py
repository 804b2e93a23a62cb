"""What can go wrong, told apart by what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from .result import Result


class AssayError(Exception):
    """Any error of this package."""


class RequestRefused(AssayError):
    """The request is wrong: sending it again does not help."""

    def __init__(self, status: int, code: str, message: str, hint: str) -> None:
        super().__init__(f"{status} {code}: {message} ({hint})")
        self.status, self.code, self.message, self.hint = status, code, message, hint


class ServiceUnavailable(AssayError):
    """The service could not be reached, or had no room, until tries or time were used up."""

    def __init__(self, message: str, tries: int, status: Optional[int] = None) -> None:
        super().__init__(f"{message} (after {tries} tries)")
        self.tries, self.status = tries, status


class NotJudged(AssayError):
    """The service answered and has no verdict: the judge failed, not the submission."""

    def __init__(self, result: Result) -> None:
        failure = result.failure
        super().__init__(f"{failure.kind}: {failure.message}" if failure else "not judged")
        self.result = result
