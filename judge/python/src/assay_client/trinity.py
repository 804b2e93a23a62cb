"""Trinity-RFT: ``AssayReward`` where a ``RewardFn`` is wanted.

``truth`` names the problem (:mod:`assay_client.problems`). A rollout without verdict raises, or gets
``ASSAY_INVALID``.
"""

from __future__ import annotations

from typing import Any, Dict, Optional

from assay_client.problems import submission, text_of
from assay_client.settings import judged, number

try:
    from trinity.common.rewards.reward_fn import RewardFn as _Base
except ImportError:
    _Base = object  # type: ignore[assignment, misc]


class AssayReward(_Base):  # type: ignore[misc]
    """Judges a response."""

    def __init__(self, **kwargs: Any) -> None:
        self.invalid = kwargs.get("invalid")

    def __call__(  # type: ignore[override]
        self, response: Any = None, prompt: Optional[str] = None, truth: Any = None, **kwargs: Any
    ) -> Dict[str, float]:
        """The reward under its name."""
        result = judged([submission(truth, text_of(response))])[0]
        return {"accuracy": number(result, self.invalid)}
