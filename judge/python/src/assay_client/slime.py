"""slime: ``--custom-rm-path assay_client.slime.reward``, with or without ``--group-rm``.

``sample.label`` names the problem (:mod:`assay_client.problems`). A rollout without verdict raises, or gets
``ASSAY_INVALID``.
"""

from __future__ import annotations

from typing import Any, List, Union

from assay_client.problems import submission, without_end_tokens
from assay_client.settings import judged_async, number


async def reward(args: Any, sample: Any, **kwargs: Any) -> Union[float, List[float]]:
    """The reward of a sample, or those of a group of samples."""
    samples = sample if isinstance(sample, (list, tuple)) else [sample]
    asked = [submission(it.label, without_end_tokens(it.response)) for it in samples]
    rewards = [number(result) for result in await judged_async(asked)]
    return rewards if isinstance(sample, (list, tuple)) else rewards[0]
