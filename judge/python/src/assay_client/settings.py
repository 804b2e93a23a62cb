"""What the functions for trainers are set up with: the environment, read when they are first called.

====================== ==========================================================================
``ASSAY_URL``          where the service is; default ``http://127.0.0.1:8080``
``ASSAY_API_KEY``      a key, where the service wants one
``ASSAY_DEADLINE``     seconds for one call, tries and pauses included; default 600
``ASSAY_INVALID``      what a rollout without verdict gets where a trainer knows no None: ``raise`` (the
                       default) or a number
====================== ==========================================================================
"""

from __future__ import annotations

import os
import threading
from typing import Any, List, Mapping, Optional, Sequence, Tuple, Union

from .aio import AsyncClient
from .client import Client
from .errors import NotJudged
from .result import Result

_lock = threading.Lock()
_clients: dict = {}


def _environment() -> Tuple[str, Optional[str], float]:
    url = os.environ.get("ASSAY_URL", "http://127.0.0.1:8080")
    return url, os.environ.get("ASSAY_API_KEY"), float(os.environ.get("ASSAY_DEADLINE", "600"))


def client() -> Client:
    """The client of this process; another after a fork, whose connections are not ours."""
    key = ("sync", os.getpid(), *_environment())
    with _lock:
        if key not in _clients:
            _, _, url, api_key, deadline = key
            _clients[key] = Client(url, api_key=api_key, deadline=deadline)
        return _clients[key]


def async_client() -> AsyncClient:
    """The same for tasks."""
    key = ("async", os.getpid(), *_environment())
    with _lock:
        if key not in _clients:
            _, _, url, api_key, deadline = key
            _clients[key] = AsyncClient(url, api_key=api_key, deadline=deadline)
        return _clients[key]


Invalid = Union[str, float, None]


def number(result: Result, invalid: Invalid = None) -> float:
    """The reward, for trainers that know numbers only."""
    if result.reward is not None:
        return float(result.reward)
    rule = os.environ.get("ASSAY_INVALID", "raise") if invalid is None else invalid
    if rule == "raise":
        raise NotJudged(result)
    return float(rule)


def judged(submissions: Sequence[Mapping[str, Any]]) -> List[Result]:
    """Results, whatever became of them."""
    return client().judge_batch(submissions, invalid="none")


async def judged_async(submissions: Sequence[Mapping[str, Any]]) -> List[Result]:
    """The same, awaited."""
    return await async_client().judge_batch(submissions, invalid="none")
