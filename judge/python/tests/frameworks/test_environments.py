"""SkyRL-gym registers and steps our environment; Trinity-RFT finds a reward function of its kind."""

from __future__ import annotations

import importlib.util
import json
import os
import unittest

URL = os.environ.get("ASSAY_URL", "")
ADD = json.dumps({"kind": "stdio", "tests": [{"stdin": "1 2\n", "stdout": "3\n"}]})
RIGHT = "```python\nprint(sum(map(int, input().split())))\n```"


@unittest.skipUnless(URL, "ASSAY_URL names no service")
class Environments(unittest.TestCase):
    @unittest.skipIf(importlib.util.find_spec("skyrl_gym") is None, "skyrl-gym is not installed")
    def test_skyrl_gym_makes_and_steps_it(self) -> None:
        import skyrl_gym
        from skyrl_gym.envs.base_text_env import BaseTextEnv

        skyrl_gym.register(id="assay", entry_point="assay_client.skyrl:AssayEnv")
        env = skyrl_gym.make("assay", env_config={}, extras={"reward_spec": {"ground_truth": ADD}})
        self.assertIsInstance(env, BaseTextEnv)
        env.init([{"role": "user", "content": "Add."}])
        step = env.step(RIGHT)
        self.assertEqual((step["reward"], step["done"]), (1.0, True))


if __name__ == "__main__":
    unittest.main()
