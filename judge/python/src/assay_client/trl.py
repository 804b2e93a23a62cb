"""TRL: ``GRPOTrainer(reward_funcs=[assay_client.trl.reward_func])``.

A column of the data set names the problem (:mod:`assay_client.problems`): the first there is of ``assay``,
``ground_truth``, ``label``, ``answer``, ``solution``; ``reward_of("name")`` takes another. A rollout without
verdict has the reward None, and TRL leaves it out.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence

from assay_client.problems import submission, text_of
from assay_client.settings import judged, judged_async

COLUMNS = ("assay", "ground_truth", "label", "answer", "solution")
Rewards = List[Optional[float]]


def _submissions(
    completions: Sequence[Any], columns: Dict[str, Any], column: Optional[str]
) -> List[Dict[str, Any]]:
    names = (column,) if column else COLUMNS
    name = next((name for name in names if name in columns), None)
    if name is None:
        raise ValueError(f"the data set has no column {' or '.join(map(repr, names))}")
    labels = columns[name]
    return [submission(label, text_of(it)) for label, it in zip(labels, completions)]


def reward_func(
    prompts: Sequence[Any], completions: Sequence[Any], **columns: Any
) -> Rewards:
    """The reward of each completion, None where there is no verdict."""
    return [result.reward for result in judged(_submissions(completions, columns, None))]


async def reward_func_async(
    prompts: Sequence[Any], completions: Sequence[Any], **columns: Any
) -> Rewards:
    """The same, awaited: TRL runs it beside other reward functions."""
    results = await judged_async(_submissions(completions, columns, None))
    return [result.reward for result in results]


def reward_of(column: str) -> Callable[..., Rewards]:
    """A reward function whose problems stand in ``column``."""

    def reward(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> Rewards:
        return [result.reward for result in judged(_submissions(completions, columns, column))]

    reward.__name__ = f"assay_{column}"
    return reward
