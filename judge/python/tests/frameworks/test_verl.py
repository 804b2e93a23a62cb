"""verl's own client of SandboxFusion against ``/run_code``, and its reward managers' call of our function."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import types
import unittest
from pathlib import Path

URL = os.environ.get("ASSAY_URL", "")
RIGHT = "So:\n```python\nprint(sum(map(int, input().split())))\n```"
CASES = {"inputs": ["1 2\n", "2 2\n", "5 6\n"], "outputs": ["3\n", "4", "11"]}


def sandbox_fusion() -> types.ModuleType:
    """The package alone: what is above it wants torch and ray."""
    found = importlib.util.find_spec("verl") if "verl" not in sys.modules else None
    folders = list(found.submodule_search_locations or []) if found else []
    if not folders or importlib.util.find_spec("requests") is None:
        raise unittest.SkipTest("verl, or requests, is not installed")
    folder = Path(folders[0]) / "utils" / "reward_score" / "sandbox_fusion"
    spec = importlib.util.spec_from_file_location(
        "verl_sandbox_fusion", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@unittest.skipUnless(URL, "ASSAY_URL names no service")
class Verl(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.module = sandbox_fusion()

    def score(self, completion: str, cases: dict, **more: object) -> tuple:
        return self.module.compute_score(
            URL + "/run_code", None, 1024, completion, json.dumps(cases), **more
        )

    def test_the_score_is_the_share_of_tests_passed(self) -> None:
        score, about = self.score(RIGHT, CASES)
        self.assertEqual(score, 1.0, about)
        self.assertEqual([it["status"] for it in about], ["success"] * 3)
        score, about = self.score("```python\nprint(4)\n```", CASES)
        self.assertAlmostEqual(score, 1 / 3, msg=str(about))

    def test_statuses_are_told_apart(self) -> None:
        one = {"inputs": [""], "outputs": ["1"]}
        for program, status in (
            ("raise SystemExit(3)", "runtime_error"),
            ("while True: pass", "timeout"),
            ("print(2)", "wrong_answer"),
            ("x = bytearray(10**10)", "runtime_error"),
        ):
            _, about = self.score(f"```python\n{program}\n```", one, timeout=2)
            self.assertEqual(about[0]["status"], status, about)

    def test_functions_and_assertions_are_judged_by_its_own_programs(self) -> None:
        calls = {"inputs": ["1\n2"], "outputs": ["3"], "fn_name": "add"}
        score, about = self.score("```python\ndef add(a, b): return a + b\n```", calls)
        self.assertEqual(score, 1.0, about)
        asserted = {"assert_case": ["assert add(1, 2) == 3", "assert add(1, 2) == 4"]}
        score, about = self.score("```python\ndef add(a, b): return a + b\n```", asserted)
        self.assertEqual(score, 0.5, about)

    def test_large_outputs_arrive_whole(self) -> None:
        cases = {"inputs": ["300000\n"], "outputs": ["x" * 300000]}
        score, about = self.score("```python\nprint('x' * int(input()))\n```", cases)
        self.assertEqual(score, 1.0, about[0]["status"])


if __name__ == "__main__":
    unittest.main()
