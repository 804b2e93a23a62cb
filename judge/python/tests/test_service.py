"""The clients and the functions for trainers against the real service, which ``ASSAY_URL`` names."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import types
import unittest
from typing import Any, List

import assay_client
from assay_client import (
    AsyncClient,
    Client,
    NotJudged,
    RequestRefused,
    areal,
    openrlhf,
    rllm,
    settings,
    skyrl,
    slime,
    trinity,
    trl,
    verifiers,
    verl,
)

URL = os.environ.get("ASSAY_URL", "")
ADD = json.dumps({"kind": "stdio", "tests": [{"stdin": "1 2\n", "stdout": "3\n"}]})
RIGHT = "```python\nprint(sum(map(int, input().split())))\n```"
WRONG = "```python\nprint(4)\n```"
# Its checker breaks, so that there is no verdict.
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


def sample(response: str, label: Any) -> Any:
    return types.SimpleNamespace(prompt="Add.", response=response, label=label)


@unittest.skipUnless(URL, "ASSAY_URL names no service")
class Service(unittest.TestCase):
    def tearDown(self) -> None:
        settings.client().close()


class Clients(Service):
    def test_one_and_many_are_judged(self) -> None:
        submissions = [
            assay_client.submission(ADD, RIGHT, id="a"),
            assay_client.submission(ADD, WRONG, id="b"),
            assay_client.submission("\\frac12", "\\boxed{0.5}", id="c"),
        ]
        with Client(URL) as client:
            self.assertEqual(client.judge(submissions[0]).reward, 1.0)
            found = client.judge_batch(submissions)
            streamed = {result.id: result.reward for result in client.stream(submissions)}
        self.assertEqual([result.reward for result in found], [1.0, 0.0, 1.0])
        self.assertEqual([result.verdict for result in found][1], "wrong_answer")
        self.assertEqual(streamed, {"a": 1.0, "b": 0.0, "c": 1.0})
        self.assertEqual(found[0].raw["tests"][0]["stdout"], "3\n")

    def test_many_tasks_judge_at_once(self) -> None:
        async def judge() -> List[Any]:
            client = AsyncClient(URL)
            one = [assay_client.submission(ADD, RIGHT if at % 2 else WRONG) for at in range(40)]
            return await asyncio.gather(*(client.judge(it) for it in one))

        rewards = [result.reward for result in asyncio.run(judge())]
        self.assertEqual(rewards, [0.0, 1.0] * 20)

    def test_a_program_is_run_and_languages_are_listed(self) -> None:
        with Client(URL) as client:
            ran = client.run(language="python", source="print(input())", stdin="x")
            self.assertEqual((ran["stdout"], ran["termination"]["kind"]), ("x\n", "exited"))
            names = [language["name"] for language in client.languages()]
        self.assertIn("python", names)
        ran = asyncio.run(AsyncClient(URL).run(language="python", source="print('y' * 300000)"))
        self.assertTrue(ran["stdout_truncated"])

    def test_a_mistake_is_told_with_code_and_hint(self) -> None:
        wrong = {"language": "cobol", "source": "x", "problem": json.loads(ADD)}
        with Client(URL) as client:
            for refused in (
                lambda: client.judge(wrong),
                lambda: asyncio.run(AsyncClient(URL).judge(wrong)),
            ):
                with self.assertRaises(RequestRefused) as raised:
                    refused()
                self.assertEqual(raised.exception.code, "unknown_language")
                self.assertIn("python", raised.exception.hint)

    def test_no_verdict_is_none_or_an_error_by_policy(self) -> None:
        asked = assay_client.submission(BROKEN, RIGHT)
        with Client(URL) as client:
            found = client.judge(asked)
            self.assertEqual((found.reward, found.valid), (None, False))
            with self.assertRaises(NotJudged):
                client.judge(asked, invalid="raise")

    def test_groups_are_judged_with_what_they_have_in_common(self) -> None:
        common = {"language": "python", "problem": json.loads(ADD)}
        group = {"group": "g", "submission": common, "completions": [WRONG, RIGHT]}
        group["length_tokens"] = [5, 9]
        one = assay_client.submission(ADD, RIGHT)
        with Client(URL) as client:
            found = client.judge_batch([one], groups=[group], priority="eval", deadline_ms=60_000)
        awaited = asyncio.run(AsyncClient(URL).judge_batch([one], groups=[group]))
        for results in (found, awaited):
            self.assertEqual([it.reward for it in results], [1.0, 0.0, 1.0])
            self.assertEqual([it.group for it in results], [None, "g", "g"])

    def test_a_deadline_of_the_service_is_a_failure_of_its_own_kind(self) -> None:
        endless = assay_client.submission(ADD, "```python\nwhile True: pass\n```")
        endless["limits"] = {"cpu_time_ms": 100000}
        with Client(URL, rounds_max=0) as client:
            found = client.judge(endless, deadline_ms=300)
        awaited = asyncio.run(AsyncClient(URL, rounds_max=0).judge(endless, deadline_ms=300))
        for result in (found, awaited):
            self.assertEqual((result.valid, result.failure.kind), (False, "deadline"))

    def test_a_batch_outlives_its_connection(self) -> None:
        many = [assay_client.submission(ADD, RIGHT if at % 2 else WRONG) for at in range(6)]
        with Client(URL) as client:
            batch = client.batch(many)
            first = next(batch.results())
            rest = list(client.find_batch(batch.id).results(after=first.number))
            self.assertEqual(sorted(it.index for it in [first, *rest]), list(range(6)))
            self.assertEqual(batch.status()["status"], "done")

        async def both() -> Any:
            batch = await AsyncClient(URL).batch(many, key=f"again-{os.getpid()}")
            same = await AsyncClient(URL).batch(many, key=f"again-{os.getpid()}")
            results = [result async for result in batch.results()]
            return batch.id == same.id, len(results), (await batch.status())["answered"]

        self.assertEqual(asyncio.run(both()), (True, 6, 6))

    def test_a_batch_is_cancelled(self) -> None:
        endless = assay_client.submission(ADD, "```python\nwhile True: pass\n```")
        endless["limits"] = {"cpu_time_ms": 100000}
        with Client(URL) as client:
            batch = client.batch([endless])
            self.assertEqual(batch.cancel()["status"], "cancelled")
            (result,) = batch.results()
        self.assertEqual((result.reward, result.failure.kind), (None, "cancelled"))

    def test_a_task_that_is_cancelled_ends_what_runs(self) -> None:
        endless = assay_client.submission(ADD, "```python\nwhile True: pass\n```")
        endless["limits"] = {"cpu_time_ms": 100000}

        async def leave() -> float:
            client = AsyncClient(URL)
            running = asyncio.ensure_future(client.judge(endless))
            while (await client.call("GET", "/v1/languages")) and not running.done():
                metrics = await metric(client, "assay_slots_leased")
                if metrics >= 1.0:
                    break
            running.cancel()
            while await metric(client, "assay_slots_leased") > 0.0:
                pass
            return (await client.judge(assay_client.submission(ADD, RIGHT))).reward or 0.0

        self.assertEqual(asyncio.run(asyncio.wait_for(leave(), 60.0)), 1.0)


class Sessions(Service):
    def test_state_is_kept_and_files_go_in_and_out(self) -> None:
        with Client(URL) as client, client.session(files={"in.txt": "given"}) as session:
            self.assertTrue(session.execute("x = open('in.txt').read()").ok)
            cell = session.execute("print(x)\nimport sys\nprint('b', file=sys.stderr)\nlen(x)")
            self.assertEqual((cell.stdout, cell.stderr, cell.value), ("given\n", "b\n", "5"))
            raised = session.execute("1 / 0")
            self.assertEqual((raised.ok, raised.error["ename"]), (False, "ZeroDivisionError"))
            session.write("a b/\u00e9.bin", b"\x00\xff")
            self.assertEqual(session.read("a b/\u00e9.bin"), b"\x00\xff")
            self.assertIn("a b/\u00e9.bin", [it["path"] for it in session.files()])
            self.assertEqual(session.restart()["state"], "idle")
            self.assertEqual(session.execute("x").error["ename"], "NameError")
            kinds = [event["msg_type"] for event in session.stream("print(1)")]
            self.assertEqual((kinds[-1], "stream" in kinds), ("execute_reply", True))
            session.close()
            with self.assertRaises(RequestRefused):
                session.info()

    def test_the_same_awaited(self) -> None:
        async def use() -> None:
            async with await AsyncClient(URL).session(language="bash") as session:
                self.assertTrue((await session.execute("x=7")).ok)
                self.assertEqual((await session.execute("echo $x")).stdout, "7\n")
                await session.write("f", b"g")
                self.assertEqual(await session.read("f"), b"g")
                self.assertIn("f", [it["path"] for it in await session.files()])
                events = [event async for event in session.stream("echo 1")]
                self.assertEqual(events[-1]["msg_type"], "execute_reply")
                sleeping = asyncio.ensure_future(session.execute("sleep 60"))
                while (await session.info())["state"] != "busy":
                    pass
                self.assertEqual((await session.interrupt())["id"], session.id)
                self.assertEqual((await sleeping).stopped, "interrupted")

        asyncio.run(asyncio.wait_for(use(), 60.0))


async def metric(client: AsyncClient, name: str) -> float:
    """A metric of the service."""
    text = (await client.fetch("GET", "/metrics")).decode()
    return float(next(line.split()[-1] for line in text.splitlines() if line.startswith(name + " ")))


class Trainers(Service):
    """Each function with the arguments that its trainer gives, right, wrong and without verdict."""

    def without_verdict(self, call: Any) -> None:
        with self.assertRaises(NotJudged):
            call()
        os.environ["ASSAY_INVALID"] = "-2.5"
        try:
            found = call()
        finally:
            del os.environ["ASSAY_INVALID"]
        self.assertEqual(found, -2.5)

    def test_verl(self) -> None:
        one = verl.compute_score("code", RIGHT, ADD, {"index": 0}, reward_router_address=None)
        self.assertEqual(one, {"score": 1.0, "acc": 1.0, "valid": 1.0, "verdict": "accepted"})
        many = verl.compute_score_batch(["c"] * 3, [RIGHT, WRONG, "x"], [ADD, ADD, "1"], [{}, None, {}])
        self.assertEqual([it["score"] for it in many], [1.0, 0.0, 0.0])
        awaited = asyncio.run(verl.compute_score_async("c", WRONG, ADD, extra_info={}))
        invalid = verl.compute_score("m", RIGHT, BROKEN, invalid_score=-1.0)
        self.assertEqual((invalid["score"], invalid["valid"]), (-1.0, 0.0))
        keys = {frozenset(it) for it in [one, awaited, invalid, *many]}
        self.assertEqual(len(keys), 1)
        self.without_verdict(lambda: verl.compute_score("m", RIGHT, BROKEN)["score"])
        limited = {"assay": {"limits": {"cpu_time_ms": 100}}}
        slow = verl.compute_score("c", "```python\nwhile True: pass\n```", ADD, limited)
        self.assertEqual(slow["verdict"], "time_limit_exceeded")

    def test_openrlhf(self) -> None:
        found = openrlhf.reward_func([f"<s>Add.{RIGHT}</s>", f"Add.{WRONG}"], ["Add."] * 2, [ADD] * 2)
        self.assertEqual(list(map(float, found["rewards"])), [1.0, 0.0])
        self.assertEqual(set(found), {"rewards", "scores", "extra_logs"})
        self.assertEqual(list(map(float, found["extra_logs"]["valid"])), [1.0, 1.0])

    def test_trl(self) -> None:
        messages = [[{"role": "assistant", "content": it}] for it in (RIGHT, WRONG, RIGHT)]
        columns = {"ground_truth": [ADD, ADD, BROKEN], "trainer_state": None, "completion_ids": []}
        self.assertEqual(trl.reward_func(["p"] * 3, messages, **columns), [1.0, 0.0, None])
        plain = trl.reward_func_async(["p"] * 2, [RIGHT, WRONG], label=[ADD, ADD])
        self.assertEqual(asyncio.run(plain), [1.0, 0.0])
        self.assertTrue(inspect.iscoroutinefunction(trl.reward_func_async))
        own = trl.reward_of("tests")
        self.assertEqual(own(["p"], [RIGHT], tests=[ADD]), [1.0])
        self.assertEqual(own.__name__, "assay_tests")
        with self.assertRaises(ValueError):
            trl.reward_func(["p"], [RIGHT])

    def test_slime(self) -> None:
        self.assertEqual(asyncio.run(slime.reward(None, sample(RIGHT + "<|im_end|>", ADD))), 1.0)
        group = [sample(RIGHT, ADD), sample(WRONG, ADD)]
        self.assertEqual(asyncio.run(slime.reward(None, group)), [1.0, 0.0])
        self.without_verdict(lambda: asyncio.run(slime.reward(None, sample(RIGHT, BROKEN))))

    def test_areal(self) -> None:
        rows = {"inputs": ["1 2\n"], "outputs": ["3\n"]}
        self.assertEqual(areal.reward_fn("p", RIGHT, [1], [2], input_output=json.dumps(rows)), 1.0)
        self.assertEqual(areal.reward_fn("p", "\\boxed{3}", [1], [2], answer="4", query_id="q"), 0.0)
        self.without_verdict(lambda: areal.reward_fn("p", RIGHT, [], [], answer=BROKEN))

    def test_verifiers(self) -> None:
        state: dict = {}
        said = [{"role": "assistant", "content": RIGHT}]
        self.assertEqual(asyncio.run(verifiers.reward("p", said, ADD, state, info={}, task="t")), 1.0)
        self.assertEqual(state, {"assay_valid": True, "assay_verdict": "accepted"})
        group = verifiers.reward_group(["p"] * 2, [RIGHT, WRONG], [ADD] * 2, [{}, {}])
        self.assertEqual(asyncio.run(group), [1.0, 0.0])
        with self.assertRaises(NotJudged):
            asyncio.run(verifiers.reward("p", RIGHT, BROKEN, state))
        self.assertFalse(state["assay_valid"])

    def test_skyrl(self) -> None:
        env = skyrl.AssayEnv(extras={"reward_spec": {"ground_truth": ADD}})
        self.assertEqual(env.init([{"role": "user", "content": "p"}])[1], {})
        step = env.step(RIGHT)
        self.assertEqual((step["reward"], step["done"], step["observations"]), (1.0, True, []))
        self.assertEqual(step["metadata"], {"valid": True, "verdict": "accepted"})
        with self.assertRaises(ValueError):
            skyrl.AssayEnv(extras={})

    def test_rllm(self) -> None:
        asked = types.SimpleNamespace(model_response=RIGHT, metadata={"ground_truth": ADD})
        found = rllm.AssayRewardFn()(asked)
        self.assertEqual((found.reward, found.is_correct), (1.0, True))
        found = rllm.AssayRewardFn()({"inputs": ["1 2\n"], "outputs": ["3\n"]}, WRONG)
        self.assertEqual((found.reward, found.is_correct), (0.0, False))

    def test_trinity(self) -> None:
        reward = trinity.AssayReward(invalid=-1.0)
        self.assertEqual(reward(response=RIGHT, prompt="p", truth=ADD), {"accuracy": 1.0})
        self.assertEqual(reward(RIGHT, truth=BROKEN), {"accuracy": -1.0})


if __name__ == "__main__":
    unittest.main()
