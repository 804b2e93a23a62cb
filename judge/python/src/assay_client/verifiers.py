"""verifiers: ``vf.Rubric(funcs=[assay_client.verifiers.reward])``; group functions take ``reward_group``.

``answer`` names the problem (:mod:`assay_client.problems`). verifiers gives an exception the reward 0, so
that a rollout without verdict also leaves ``state["assay_valid"] = False``: drop those.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

from assay_client.problems import submission, text_of
from assay_client.result import Result
from assay_client.settings import judged_async, number


def _note(state: Any, result: Result) -> float:
    if isinstance(state, dict):
        state["assay_valid"] = result.valid
        state["assay_verdict"] = result.verdict
    return number(result)


async def reward(
    prompt: Any,
    completion: Any,
    answer: Any,
    state: Any = None,
    info: Optional[Dict[str, Any]] = None,
    **kwargs: Any,
) -> float:
    """The reward of a rollout."""
    return _note(state, (await judged_async([submission(answer, text_of(completion))]))[0])


async def reward_group(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    answers: Sequence[Any],
    states: Sequence[Any],
    **kwargs: Any,
) -> List[float]:
    """The rewards of a group, by one call."""
    asked = [submission(label, text_of(it)) for label, it in zip(answers, completions)]
    return [_note(state, result) for state, result in zip(states, await judged_async(asked))]
