"""SkyRL: register ``assay_client.skyrl:AssayEnv`` with skyrl-gym; each episode is one turn.

``extras["reward_spec"]["ground_truth"]`` names the problem (:mod:`assay_client.problems`). A rollout without
verdict raises, or gets ``ASSAY_INVALID`` and ``metadata["valid"]`` False.
"""

from __future__ import annotations

from typing import Any, Dict, Optional

from assay_client.problems import submission
from assay_client.settings import judged, number

try:
    from skyrl_gym.envs.base_text_env import BaseTextEnv as _Base
except ImportError:  # The class is the same without it, for those who only want its step.

    class _Base:  # type: ignore[no-redef]
        def __init__(self) -> None:
            self.turns, self.max_turns = 0, 1

        def init(self, prompt: Any) -> Any:
            """The first prompt, unchanged."""
            return prompt, {}

        def close(self) -> None:
            """Nothing is held."""


class AssayEnv(_Base):  # type: ignore[misc]
    """An environment whose one action is judged."""

    def __init__(self, env_config: Any = None, extras: Optional[Dict[str, Any]] = None) -> None:
        super().__init__()
        spec = (extras or {}).get("reward_spec") or {}
        if "ground_truth" not in spec:
            raise ValueError("extras have no reward_spec.ground_truth")
        self.ground_truth = spec["ground_truth"]

    def step(self, action: str) -> Dict[str, Any]:
        """Judges the action and ends the episode."""
        self.turns += 1
        result = judged([submission(self.ground_truth, action)])[0]
        metadata = {"valid": result.valid, "verdict": result.verdict}
        return {"observations": [], "reward": number(result), "done": True, "metadata": metadata}
