"""OpenRLHF's agent, which asks ``/get_reward``, or calls our function in a thread."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
import types
import unittest
from pathlib import Path
from unittest import mock

URL = os.environ.get("ASSAY_URL", "")
ADD = json.dumps({"kind": "stdio", "tests": [{"stdin": "1 2\n", "stdout": "3\n"}]})
RIGHT = "```python\nprint(sum(map(int, input().split())))\n```"


def agent_module() -> types.ModuleType:
    """The one file; what is above it wants ray, vllm and a GPU."""
    found = importlib.util.find_spec("openrlhf")
    folders = list(found.submodule_search_locations or []) if found else []
    wanted = ("aiohttp", "torch")
    if not folders or any(importlib.util.find_spec(name) is None for name in wanted):
        raise unittest.SkipTest("openrlhf, aiohttp or torch is not installed")
    path = Path(folders[0]) / "utils" / "agent.py"
    spec = importlib.util.spec_from_file_location("openrlhf_agent", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    import logging

    logging_utils = types.SimpleNamespace(init_logger=logging.getLogger)
    names = {"openrlhf.utils.logging_utils": logging_utils}
    for name in ("ray", "vllm", "openrlhf.utils.vlm_utils", "openrlhf.trainer.ray.vllm_engine"):
        names[name] = mock.MagicMock()
    with mock.patch.dict(sys.modules, names):
        spec.loader.exec_module(module)
    return module


@unittest.skipUnless(URL, "ASSAY_URL names no service")
class OpenRlhf(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.agent = agent_module()

    def test_a_remote_url_is_asked(self) -> None:
        async def ask() -> list:
            executor = self.agent.SingleTurnAgentExecutor([URL + "/get_reward"])
            queries = [f"<s>Add.{RIGHT}</s>", "Add.```python\nprint(4)\n```", "1+1?\\boxed{2}"]
            prompts = ["Add.", "Add.", "1+1?"]
            return await executor._fetch_rewards_via_http(queries, prompts, [ADD, ADD, "2"])

        (found,) = asyncio.run(ask())
        self.assertEqual(found["rewards"], [1.0, 0.0, 1.0])
        self.assertEqual(found["extra_logs"]["valid"], [1.0, 1.0, 1.0])

    def test_a_file_is_called(self) -> None:
        import assay_client.openrlhf as ours

        async def call() -> list:
            executor = self.agent.SingleTurnAgentExecutor([ours.__file__])
            return await executor._fetch_rewards_via_func([f"Add.{RIGHT}"], ["Add."], [ADD])

        (found,) = asyncio.run(call())
        self.assertEqual(found["rewards"].tolist(), [1.0])


if __name__ == "__main__":
    unittest.main()
