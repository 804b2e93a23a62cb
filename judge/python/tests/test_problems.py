"""Labels and queries are read as the service's own wires read them."""

from __future__ import annotations

import json
import unittest

from assay_client.problems import response_of, submission, text_of

STDIO = {"kind": "stdio", "tests": [{"stdout": "1"}]}


class Labels(unittest.TestCase):
    def test_a_label_is_a_problem_an_input_output_or_a_reference(self) -> None:
        for label in (STDIO, json.dumps(STDIO)):
            self.assertEqual(
                submission(label, "c"),
                {"problem": STDIO, "language": "python", "completion": "c"},
            )
        whole = {"problem": STDIO, "language": "cpp", "stop_early": True}
        self.assertEqual(submission(whole, "c"), {**whole, "completion": "c"})
        rows = {"inputs": ["1"], "outputs": ["2"], "fn_name": None}
        self.assertEqual(
            submission(json.dumps(rows), "c")["problem"],
            {"kind": "input_output", "inputs": ["1"], "outputs": ["2"]},
        )
        found = submission({"assert_case": ["a", "b"]}, "c")["problem"]
        self.assertEqual(found, {"kind": "assertions", "code": "a\nb"})
        for label, references in (
            ("\\frac{1}{2}", ["\\frac{1}{2}"]),
            ("[1,2]", ["[1,2]"]),
            ("7", ["7"]),
            (7, ["7"]),
            (["1", 2], ["1", "2"]),
        ):
            found = submission(label, "c")
            self.assertEqual(found["problem"], {"kind": "math", "references": references})
            self.assertNotIn("language", found)

    def test_a_label_that_names_no_problem_is_refused(self) -> None:
        wrong = (None, True, " ", [[]], {}, {"inputs": []}, {"problem": STDIO, "source": "x"})
        for label in wrong:
            with self.assertRaises(ValueError, msg=repr(label)):
                submission(label, "c")

    def test_the_response_is_what_follows_the_prompt(self) -> None:
        chat = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
        long = "x" * 300 + "tail of the prompt"
        for query, prompt, response in (
            ("<s>1+1?2</s>", "1+1?", "2"),
            (f"{chat}hello<|im_end|>\n<|endoftext|>", chat, "hello"),
            (f"{long[100:]}answer", long, "answer"),
            ("ask: ask: 2", "ask: ", "ask: 2"),
            ("q", "", "q"),
        ):
            self.assertEqual(response_of(query, prompt), response)
        with self.assertRaises(ValueError):
            response_of("an answer", "a prompt")

    def test_a_completion_may_be_messages(self) -> None:
        said = {"role": "assistant", "content": "b"}
        tool = {"role": "tool", "content": "c"}
        parts = {"role": "assistant", "content": [{"type": "text", "text": "d"}]}
        for completion, text in (
            ("a", "a"),
            ([said], "b"),
            ([{"role": "assistant", "content": "x"}, said, tool], "b"),
            ([parts], "d"),
            ([], ""),
            ([{"role": "assistant", "content": None}], ""),
        ):
            self.assertEqual(text_of(completion), text)


if __name__ == "__main__":
    unittest.main()
