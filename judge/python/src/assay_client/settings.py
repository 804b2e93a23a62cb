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
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from .aio import AsyncClient
from .client import Client
from .errors import NotJudged
from .result import Result

_Key = Tuple[int, str, Optional[str], float]
_lock = threading.Lock()
_clients: Dict[_Key, Client] = {}
_async_clients: Dict[_Key, AsyncClient] = {}


def _key() -> _Key:
    """What tells one client from another: a process has its own, as connections do not survive a fork."""
    url = os.environ.get("ASSAY_URL", "http://127.0.0.1:8080")
    deadline = float(os.environ.get("ASSAY_DEADLINE", "600"))
    return os.getpid(), url, os.environ.get("ASSAY_API_KEY"), deadline


def client() -> Client:
    """The client of this process."""
    key = _key()
    with _lock:
        if key not in _clients:
            _clients[key] = Client(key[1], api_key=key[2], deadline=key[3])
        return _clients[key]


def async_client() -> AsyncClient:
    """The same for tasks."""
    key = _key()
    with _lock:
        if key not in _async_clients:
            _async_clients[key] = AsyncClient(key[1], api_key=key[2], deadline=key[3])
        return _async_clients[key]


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
