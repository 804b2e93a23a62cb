"""The SandboxFusion SDK against our ``/run_code`` and ``/submit``."""

from __future__ import annotations

import asyncio
import os
import unittest

URL = os.environ.get("ASSAY_URL", "")

try:
    import sandbox_fusion as sdk
except ImportError:
    sdk = None


@unittest.skipUnless(URL, "ASSAY_URL names no service")
@unittest.skipIf(sdk is None, "sandbox_fusion is not installed")
class SandboxFusion(unittest.TestCase):
    def test_code_is_run(self) -> None:
        request = sdk.RunCodeRequest(code="print(input())", language="python", stdin="x")
        found = sdk.run_code(request, endpoint=URL)
        self.assertEqual((found.status.value, found.run_result.stdout), ("Success", "x\n"))
        failed = sdk.RunCodeRequest(code="int main( {", language="cpp")
        found = sdk.run_code(failed, endpoint=URL)
        self.assertEqual(found.status.value, "Failed")
        self.assertNotEqual(found.compile_result.return_code, 0)
        mapping = sdk.SummaryMapping(Success="yes", Failed="no", RunTimeout="late")
        late = sdk.RunCodeRequest(code="while True: pass", language="python", run_timeout=0.5)
        found = sdk.run_code(late, endpoint=URL)
        self.assertEqual(sdk.summary_run_code_result(found, mapping), "late")

    def test_code_is_run_by_tasks(self) -> None:
        request = sdk.RunCodeRequest(code="print(1)", language="python")

        async def many() -> list:
            return await asyncio.gather(
                *(sdk.run_code_async(request, endpoint=URL) for _ in range(8))
            )

        self.assertEqual({it.run_result.stdout for it in asyncio.run(many())}, {"1\n"})

    def test_a_row_that_is_sent_is_judged(self) -> None:
        row = {"id": 1, "content": "add", "labels": {}, "test": [
            {"input": {"stdin": "1 2\n"}, "output": {"stdout": "3"}}]}
        config = sdk.TestConfig(dataset_type="CommonOJDataset", language="python", provided_data=row)
        right = "```python\nprint(sum(map(int, input().split())))\n```"
        for completion, accepted in ((right, True), ("```python\nprint(4)\n```", False)):
            request = sdk.SubmitRequest(dataset="mine", id=1, completion=completion, config=config)
            found = sdk.submit(request, endpoint=URL)
            self.assertEqual(found.accepted, accepted)
            self.assertEqual(found.tests[0].passed, accepted)
        prompts = sdk.get_prompts(sdk.GetPromptsRequest(dataset="mine", config=config), endpoint=URL)
        self.assertEqual([it.prompt for it in prompts], ["add"])


if __name__ == "__main__":
    unittest.main()
