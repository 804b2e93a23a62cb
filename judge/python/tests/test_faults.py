"""What both clients do when the service is full, broken or away. No service is needed."""

from __future__ import annotations

import asyncio
import os
import socket
import time
import unittest
from typing import Any, Callable, List

from assay_client import (
    AsyncClient,
    Client,
    NotJudged,
    RequestRefused,
    Result,
    Retries,
    ServiceUnavailable,
)
from assay_client.retries import seconds_of
from tests.stand_in import StandIn, hang_up, results, status

QUICK = Retries(tries_max=4, first_pause=0.001, pause_max=0.002)
ONE = {"language": "python", "source": "x", "problem": {"kind": "assertions", "code": "x"}}


def sync_batch(url: str, count: int, **options: Any) -> List[Result]:
    with Client(url, retries=QUICK, **options) as client:
        return client.judge_batch([ONE] * count)


def async_batch(url: str, count: int, **options: Any) -> List[Result]:
    return asyncio.run(AsyncClient(url, retries=QUICK, **options).judge_batch([ONE] * count))


class Both(unittest.TestCase):
    """Each test runs with either client."""

    def each(self, test: Callable[[Callable[..., List[Result]]], None]) -> None:
        for batch in (sync_batch, async_batch):
            with self.subTest(batch.__name__):
                test(batch)


class Batches(Both):
    def test_results_come_in_the_order_of_the_submissions(self) -> None:
        def test(batch: Callable[..., List[Result]]) -> None:
            with StandIn(results(1.0, 0.0, 0.5)) as service:
                found = batch(service.url, 3)
            self.assertEqual([result.reward for result in found], [1.0, 0.0, 0.5])
            self.assertEqual([result.index for result in found], [0, 1, 2])
            self.assertTrue(found[0].accepted and not found[1].accepted)

        self.each(test)

    def test_a_full_service_is_asked_again(self) -> None:
        def test(batch: Callable[..., List[Result]]) -> None:
            full = status(429, Retry_After="0")
            with StandIn(full, status(503), hang_up, results(1.0)) as service:
                self.assertEqual(batch(service.url, 1)[0].reward, 1.0)
                self.assertEqual(len(service.seen), 4)

        self.each(test)

    def test_the_time_that_the_service_names_is_kept(self) -> None:
        def test(batch: Callable[..., List[Result]]) -> None:
            with StandIn(status(429, Retry_After="1"), results(1.0)) as service:
                start = time.monotonic()
                batch(service.url, 1)
            self.assertGreaterEqual(time.monotonic() - start, 1.0)

        self.each(test)

    def test_a_broken_stream_goes_on_with_what_is_missing(self) -> None:
        def test(batch: Callable[..., List[Result]]) -> None:
            with StandIn(results(1.0, 0.0, broken=True), results(0.25)) as service:
                found = batch(service.url, 3)
                self.assertEqual([result.reward for result in found], [1.0, 0.0, 0.25])
                self.assertEqual(len(service.seen[1][0]["submissions"]), 1)

        self.each(test)

    def test_what_failed_and_may_pass_is_asked_again_alone(self) -> None:
        def test(batch: Callable[..., List[Result]]) -> None:
            with StandIn(results(1.0, None, 0.0), results(None), results(0.5)) as service:
                found = batch(service.url, 3)
                self.assertEqual([result.reward for result in found], [1.0, 0.5, 0.0])
                sent = [len(body["submissions"]) for body, _ in service.seen]
                self.assertEqual(sent, [3, 1, 1])

        self.each(test)

    def test_a_failure_that_stays_is_no_reward(self) -> None:
        def test(batch: Callable[..., List[Result]]) -> None:
            with StandIn(results(1.0, None, retryable=False)) as service:
                found = batch(service.url, 2)
                self.assertEqual(len(service.seen), 1)
                self.assertEqual((found[1].reward, found[1].valid), (None, False))
                self.assertEqual(found[1].failure.kind, "infrastructure")
                with self.assertRaises(NotJudged) as raised:
                    batch(service.url, 2, invalid="raise")
                self.assertEqual(raised.exception.result.index, 1)

        self.each(test)

    def test_a_failure_that_goes_on_is_given_up(self) -> None:
        def test(batch: Callable[..., List[Result]]) -> None:
            with StandIn(results(None)) as service:
                found = batch(service.url, 1, rounds_max=2)
                self.assertEqual((found[0].valid, len(service.seen)), (False, 3))

        self.each(test)

    def test_a_service_that_is_away_is_no_reward(self) -> None:
        def test(batch: Callable[..., List[Result]]) -> None:
            found = batch(f"http://127.0.0.1:{unused_port()}", 2)
            self.assertEqual([result.reward for result in found], [None, None])
            self.assertEqual(found[0].failure.kind, "client")

        self.each(test)

    def test_a_deadline_ends_the_call_and_keeps_what_is_there(self) -> None:
        def test(batch: Callable[..., List[Result]]) -> None:
            with StandIn(results(1.0, broken=True), status(429, Retry_After="600")) as service:
                start = time.monotonic()
                found = batch(service.url, 2, deadline=5.0)
            self.assertLess(time.monotonic() - start, 5.0)
            self.assertEqual([result.valid for result in found], [True, False])

        self.each(test)

    def test_a_wrong_request_is_refused_at_once(self) -> None:
        def test(batch: Callable[..., List[Result]]) -> None:
            error = {"error": {"code": "unknown_language", "message": "m", "hint": "h"}}
            with StandIn(status(422, error)) as service:
                with self.assertRaises(RequestRefused) as raised:
                    batch(service.url, 1)
                self.assertEqual((raised.exception.status, len(service.seen)), (422, 1))
                self.assertEqual(raised.exception.code, "unknown_language")
            with StandIn(status(404, "no service of ours")) as service:
                with self.assertRaises(RequestRefused):
                    batch(service.url, 1)

        self.each(test)

    def test_nothing_is_judged_without_a_request(self) -> None:
        def test(batch: Callable[..., List[Result]]) -> None:
            self.assertEqual(batch("http://127.0.0.1:9", 0), [])

        self.each(test)

    def test_the_key_is_sent(self) -> None:
        def test(batch: Callable[..., List[Result]]) -> None:
            with StandIn(results(1.0)) as service:
                batch(service.url, 1, api_key="secret")
                self.assertEqual(service.seen[0][1]["Authorization"], "Bearer secret")

        self.each(test)


class Groups(unittest.TestCase):
    def test_a_group_is_asked_for_again_as_a_whole(self) -> None:
        group = {"group": "g", "submission": ONE, "completions": ["a", "b"]}
        member = {**ONE, "group": "h"}

        def call(url: str) -> List[Result]:
            with Client(url, retries=QUICK) as client:
                return client.judge_batch([ONE, member, member], groups=[group], deadline_ms=5000)

        def call_async(url: str) -> List[Result]:
            client = AsyncClient(url, retries=QUICK)
            both = client.judge_batch([ONE, member, member], groups=[group], deadline_ms=5000)
            return asyncio.run(both)

        for ask in (call, call_async):
            first, second = results(1.0, None, 0.5, 0.25, None), results(0.1, 0.2, 0.3, 0.4)
            with self.subTest(ask.__name__), StandIn(first, second) as service:
                found = ask(service.url)
                sent = [body for body, _ in service.seen]
            # What is known of the others of a group stays.
            self.assertEqual([it.reward for it in found], [1.0, 0.1, 0.5, 0.25, 0.4])
            self.assertEqual([len(body["submissions"]) for body in sent], [3, 2])
            self.assertEqual([body["groups"] for body in sent], [[group], [group]])
            self.assertEqual([body["deadline_ms"] for body in sent], [5000, 5000])


class Kept(unittest.TestCase):
    """Batches and sessions."""

    def test_the_results_of_a_batch_go_on_after_the_last(self) -> None:
        paths: List[str] = []

        def numbered(step: Any) -> Any:
            def seen(handler: Any) -> None:
                paths.append(handler.path)
                step(handler)

            return seen

        def call(url: str) -> List[Result]:
            with Client(url, retries=QUICK) as client:
                return list(client.batch([ONE] * 3, key="k").results())

        async def gathered(url: str) -> List[Result]:
            batch = await AsyncClient(url, retries=QUICK).batch([ONE] * 3, key="k")
            return [result async for result in batch.results()]

        def call_async(url: str) -> List[Result]:
            return asyncio.run(gathered(url))

        for ask in (call, call_async):
            paths.clear()
            begun = status(202, {"id": "b"})
            script = (
                hang_up,
                begun,
                numbered(results(1.0, 0.0, broken=True, number=1)),
                numbered(results(0.5, number=3)),
            )
            with self.subTest(ask.__name__), StandIn(*script) as service:
                found = ask(service.url)
                keys = [headers.get("Idempotency-Key") for _, headers in service.seen]
            self.assertEqual([it.number for it in found], [1, 2, 3])
            self.assertEqual(keys, ["k", "k", None, None])
            self.assertEqual([path.split("?")[1] for path in paths], ["after=0", "after=2"])

    def test_a_cell_is_never_sent_twice(self) -> None:
        opened = status(201, {"id": "s", "engine": "python", "image": "base"})
        full = status(429, Retry_After="0")
        ran = status(200, {"status": "ok", "outputs": [], "stopped": None})

        def call(url: str) -> None:
            with Client(url, retries=QUICK) as client:
                session = client.session()
                self.assertTrue(session.execute("1").ok)
                session.execute("2")

        async def both(url: str) -> None:
            session = await AsyncClient(url, retries=QUICK).session()
            self.assertTrue((await session.execute("1")).ok)
            await session.execute("2")

        for ask in (call, lambda url: asyncio.run(both(url))):
            # A full service did not begin: it may be asked again. One that was not heard of may have.
            with StandIn(full, opened, full, ran, hang_up, ran) as service:
                with self.assertRaises(ServiceUnavailable) as raised:
                    ask(service.url)
                self.assertEqual(raised.exception.tries, 1)
                self.assertEqual(len(service.seen), 5)

    def test_a_session_that_is_gone_is_closed(self) -> None:
        gone = status(404, {"error": {"code": "session_not_found", "message": "m", "hint": "h"}})
        opened = status(201, {"id": "s", "engine": "python", "image": "base"})
        with StandIn(opened, hang_up, gone) as service, Client(service.url, retries=QUICK) as client:
            with client.session():
                pass
            self.assertEqual(len(service.seen), 3)


class Calls(unittest.TestCase):
    def test_a_call_gives_up_after_its_tries(self) -> None:
        with StandIn(status(503)) as service:
            with self.assertRaises(ServiceUnavailable) as raised, Client(
                service.url, retries=QUICK
            ) as client:
                client.run(language="python", source="x")
            self.assertEqual((raised.exception.tries, raised.exception.status), (4, 503))
            with self.assertRaises(ServiceUnavailable):
                asyncio.run(AsyncClient(service.url, retries=QUICK).languages())

    def test_a_connection_that_the_service_closed_while_idle_is_replaced(self) -> None:
        def one_reply(handler: Any) -> None:
            status(200, {"languages": []})(handler)
            handler.close_connection = True

        with StandIn(one_reply) as service, Client(service.url, retries=Retries(1)) as client:
            for _ in range(5):
                self.assertEqual(client.languages(), [])

    def test_a_stream_that_is_left_closes_its_connection(self) -> None:
        with StandIn(results(1.0, 0.0)) as service, Client(service.url) as client:
            stream = client.stream([ONE, ONE])
            self.assertEqual(next(stream).index, 1)
            stream.close()
            self.assertEqual(client._idle, [])

    def test_pauses_grow_are_spread_and_bounded(self) -> None:
        retries = Retries(first_pause=1.0, pause_max=8.0)
        for tries, bound in ((1, 1.0), (3, 4.0), (9, 8.0), (1000, 8.0)):
            pauses = [retries.pause(tries, None) for _ in range(100)]
            self.assertLessEqual(max(pauses), bound)
            self.assertGreater(max(pauses) - min(pauses), bound / 4)
        # Shortly after the time that the service names: it keeps a place for some seconds.
        for tries in (1, 1000):
            self.assertTrue(5.0 <= retries.pause(tries, 5.0) <= 6.0)

    def test_a_time_to_come_back_is_read_in_seconds(self) -> None:
        self.assertEqual(seconds_of("3"), 3.0)
        for wrong in (None, "", "soon", "-1", "1e9", "Wed, 21 Oct 2015 07:28:00 GMT", "nan"):
            self.assertIsNone(seconds_of(wrong))

    def test_addresses_and_policies_are_checked(self) -> None:
        for url in ("127.0.0.1:8080", "ftp://x", "http://"):
            with self.assertRaises(ValueError):
                Client(url)
        with self.assertRaises(ValueError):
            Client(invalid="zero")
        with self.assertRaises(ValueError):
            Client().run(language="python", source="x", limits={"cpu_time_ms": float("nan")})


def unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    os.environ.pop("ASSAY_URL", None)
    unittest.main()
