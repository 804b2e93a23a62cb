"""rllm: ``AssayRewardFn()`` where a ``RewardFn`` is wanted.

``metadata`` (or its ``ground_truth``) names the problem (:mod:`assay_client.problems`). A rollout without
verdict raises, or gets ``ASSAY_INVALID``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Mapping

from assay_client.problems import submission, text_of
from assay_client.settings import judged, number

try:
    from rllm.rewards.reward_types import RewardOutput as _Output
except ImportError:

    @dataclass
    class _Output:  # type: ignore[no-redef]
        reward: float
        metadata: Dict[str, Any] = field(default_factory=dict)
        is_correct: bool = False


class AssayRewardFn:
    """Judges what a model answered: called with a ``RewardInput``, or with task and action."""

    def __call__(self, input: Any, action: Any = None, **kwargs: Any) -> Any:
        """The reward and whether the answer is right."""
        if action is None:
            metadata, action = input.metadata, input.model_response
        else:
            metadata = input
        label = metadata
        if isinstance(metadata, Mapping):
            names = ("assay", "ground_truth", "tests")
            label = next((metadata[name] for name in names if name in metadata), metadata)
        result = judged([submission(label, text_of(action))])[0]
        about = {"valid": result.valid, "verdict": result.verdict}
        return _Output(reward=number(result), metadata=about, is_correct=result.accepted)
