"""TRL's own path from completions to rewards: ``GRPOTrainer._calculate_rewards`` calls our functions, and a
rollout without verdict is the NaN that its advantages leave out."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import threading
import types
import unittest

URL = os.environ.get("ASSAY_URL", "")
ADD = json.dumps({"kind": "stdio", "tests": [{"stdin": "1 2\n", "stdout": "3\n"}]})
BROKEN = json.dumps(
    {
        "kind": "stdio",
        "tests": [{"stdin": "1 2\n", "stdout": "3\n"}],
        "checker": {
            "name": "program",
            "program": {"language": "python", "source": "raise SystemExit(77)"},
        },
    }
)
RIGHT = "```python\nprint(sum(map(int, input().split())))\n```"


@unittest.skipUnless(URL, "ASSAY_URL names no service")
@unittest.skipIf(
    any(importlib.util.find_spec(name) is None for name in ("trl", "torch", "transformers")),
    "trl, with torch and transformers, is not installed",
)
class Trl(unittest.TestCase):
    def rewards(self, function: object) -> list:
        import torch
        from trl.trainer.grpo_trainer import GRPOTrainer

        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        device = torch.device("cpu")
        trainer = types.SimpleNamespace(
            accelerator=types.SimpleNamespace(
                device=device, gather=lambda it: it, is_main_process=True, num_processes=1
            ),
            reward_funcs=[function],
            reward_processing_classes=[None],
            reward_func_names=["assay"],
            state=types.SimpleNamespace(global_step=0),
            _log_completion_extra=None,
            _log_metric=None,
            environments=None,
            async_loop=loop,
            args=types.SimpleNamespace(report_to=[]),
            _metrics={},
            model=types.SimpleNamespace(training=True),
        )
        inputs = [
            {"prompt": "p", "ground_truth": ADD},
            {"prompt": "p", "ground_truth": ADD},
            {"prompt": "p", "ground_truth": BROKEN},
        ]
        completions = [
            [{"role": "assistant", "content": it}]
            for it in (RIGHT, "```python\nprint(4)\n```", RIGHT)
        ]
        try:
            import accelerate

            accelerate.PartialState()
            calculate = getattr(GRPOTrainer._calculate_rewards, "__wrapped__", None)
            call = calculate or GRPOTrainer._calculate_rewards
            found = call(trainer, inputs, ["p"] * 3, completions, [[1]] * 3)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
        return found[:, 0].tolist()

    def test_rewards_and_their_absence_pass_through_the_trainer(self) -> None:
        import assay_client.trl

        for function in (assay_client.trl.reward_func, assay_client.trl.reward_func_async):
            found = self.rewards(function)
            self.assertEqual(found[:2], [1.0, 0.0])
            self.assertNotEqual(found[2], found[2], "no verdict is no number")


if __name__ == "__main__":
    unittest.main()
