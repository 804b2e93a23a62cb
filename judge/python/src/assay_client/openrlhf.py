"""OpenRLHF: ``--reward.remote_url`` = this file. (Or an URL: the service speaks ``/get_reward`` itself.)

Labels name problems (:mod:`assay_client.problems`). A rollout without verdict raises, after which the
trainer goes on without its reward; or it gets ``ASSAY_INVALID``.
"""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

from assay_client.problems import response_of, submission
from assay_client.settings import judged, number


def reward_func(
    queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any], **kwargs: Any
) -> Dict[str, Any]:
    """Rewards, scores from 0 to 1, and what is logged beside them; tensors where torch is there."""
    rows = zip(queries, prompts, labels)
    results = judged([submission(label, response_of(query, prompt)) for query, prompt, label in rows])
    rewards = [number(result) for result in results]
    return {
        "rewards": _tensor(rewards),
        "scores": _tensor([min(max(reward, 0.0), 1.0) for reward in rewards]),
        "extra_logs": {
            "accepted": _tensor([float(result.accepted) for result in results]),
            "valid": _tensor([float(result.valid) for result in results]),
        },
    }


def _tensor(values: List[float]) -> Any:
    try:
        import torch
    except ImportError:
        return values
    return torch.tensor(values, dtype=torch.float32)
