"""verl: ``custom_reward_function.path`` = this file, ``.name`` = ``compute_score``, ``compute_score_async`` or,
for the batch manager, ``compute_score_batch``.

The ground truth names the problem (:mod:`assay_client.problems`). All dictionaries have the same keys. A
rollout without verdict has ``valid`` 0 and the score of ``invalid_score`` (or ``ASSAY_INVALID``); where neither
is given, it raises.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

from assay_client.problems import submission
from assay_client.result import Result
from assay_client.settings import Invalid, judged, judged_async, number


def _submission(solution: str, truth: Any, extra_info: Optional[Dict[str, Any]]) -> Dict[str, Any]:
    more = (extra_info or {}).get("assay")
    return submission(truth, solution, **(more if isinstance(more, dict) else {}))


def _score(result: Result, invalid: Invalid) -> Dict[str, Any]:
    return {
        "score": number(result, invalid),
        "acc": float(result.accepted),
        "valid": float(result.valid),
        "verdict": result.verdict or "none",
    }


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Optional[Dict[str, Any]] = None,
    invalid_score: Invalid = None,
    **kwargs: Any,
) -> Dict[str, Any]:
    """The score of one response."""
    return _score(judged([_submission(solution_str, ground_truth, extra_info)])[0], invalid_score)


async def compute_score_async(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Optional[Dict[str, Any]] = None,
    invalid_score: Invalid = None,
    **kwargs: Any,
) -> Dict[str, Any]:
    """The same, awaited: for the reward loop."""
    results = await judged_async([_submission(solution_str, ground_truth, extra_info)])
    return _score(results[0], invalid_score)


def compute_score_batch(
    data_sources: Sequence[str],
    solution_strs: Sequence[str],
    ground_truths: Sequence[Any],
    extra_infos: Sequence[Optional[Dict[str, Any]]],
    invalid_score: Invalid = None,
    **kwargs: Any,
) -> List[Dict[str, Any]]:
    """The scores of a batch, by one call."""
    rows = zip(solution_strs, ground_truths, extra_infos)
    results = judged([_submission(*row) for row in rows])
    return [_score(result, invalid_score) for result in results]
