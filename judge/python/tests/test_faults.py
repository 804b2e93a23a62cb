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
        self.assertGreaterEqual(retries.pause(1, 5.0), 5.0)

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
