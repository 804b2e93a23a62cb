"""AReaL: pass ``assay_client.areal.reward_fn`` to its workflows.

A field of the row names the problem (:mod:`assay_client.problems`): the first there is of ``assay``,
``ground_truth``, ``input_output``, ``answer``, ``solution``. AReaL's wrapper waits 15 seconds and then gives 0:
set its ``timeout_seconds`` above ``ASSAY_DEADLINE``. A rollout without verdict raises, which it tries again.
"""

from __future__ import annotations

from typing import Any, Sequence

from assay_client.problems import submission, text_of
from assay_client.settings import judged, number

FIELDS = ("assay", "ground_truth", "input_output", "answer", "solution")


def reward_fn(
    prompt: str,
    completions: Any,
    prompt_ids: Sequence[int],
    completion_ids: Sequence[int],
    **row: Any,
) -> float:
    """The reward of one completion."""
    label = next((row[name] for name in FIELDS if row.get(name) is not None), None)
    if label is None:
        raise ValueError(f"the row has none of {', '.join(FIELDS)}")
    return number(judged([submission(label, text_of(completions))])[0])
