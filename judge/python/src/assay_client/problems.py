"""What a label may be, and which part of a query is the model's answer: the same rules as the service's
own wires for trainers (``judge/src/api/compat/label.rs``).

In this order, given as JSON or as a text that holds JSON: an object with ``problem`` (a submission
without its program), with ``kind`` (a problem), with ``inputs`` and ``outputs`` (an ``input_output``), with
``assert_case`` (assertions); a list of texts (mathematical references); any other text or number (a
mathematical reference).
"""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, Sequence

ANSWERED = ("math", "answer", "free_form")
PROMPT_TAIL_CHARS = 64
END_TOKENS = (
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "<|eom_id|>",
    "<|return|>",
    "<|end▁of▁sentence|>",
    "<end_of_turn>",
    "<eos>",
    "</s>",
    "<pad>",
    "<|pad|>",
    "[EOS]",
)


def submission(label: Any, completion: str, **more: Any) -> Dict[str, Any]:
    """A submission of ``completion`` for the problem that ``label`` names. ``more`` is added to it."""
    built = _of_label(label)
    built["completion"] = completion
    built.update(more)
    return built


def _of_label(label: Any) -> Dict[str, Any]:
    if isinstance(label, str):
        try:
            inner = json.loads(label)
        except ValueError:
            inner = None
        return _of_object(inner) if isinstance(inner, dict) else _math([label])
    if isinstance(label, Mapping):
        return _of_object(label)
    if isinstance(label, bool) or label is None:
        raise ValueError("the label names no problem: it is null or a truth value")
    if isinstance(label, (int, float)):
        return _math([repr(label)])
    if isinstance(label, Sequence):
        if not all(isinstance(item, (str, int, float)) for item in label):
            raise ValueError("the label names no problem: an item of its list is neither text nor number")
        return _math([item if isinstance(item, str) else repr(item) for item in label])
    # Scalars of numpy and the like.
    return _math([str(label)])


def _of_object(label: Mapping[str, Any]) -> Dict[str, Any]:
    if "problem" in label:
        built = dict(label)
        wrong = [name for name in ("source", "answer", "completion", "id") if name in built]
        if wrong:
            raise ValueError(f"the label names no problem: `{wrong[0]}` is not for a label")
        if "language" not in built and built["problem"].get("kind") not in ANSWERED:
            built["language"] = "python"
        return built
    if "kind" in label:
        return _of_problem(dict(label))
    if "inputs" in label and "outputs" in label:
        rows = {name: value for name, value in label.items() if value is not None}
        return _of_problem({"kind": "input_output", **rows})
    if isinstance(label.get("assert_case"), Sequence):
        return _of_problem({"kind": "assertions", "code": "\n".join(label["assert_case"])})
    raise ValueError(
        "the label names no problem: it has neither `problem`, `kind`, `inputs` with `outputs`, nor `assert_case`"
    )


def _of_problem(problem: Dict[str, Any]) -> Dict[str, Any]:
    is_program = problem["kind"] not in ANSWERED
    return {"problem": problem, "language": "python"} if is_program else {"problem": problem}


def _math(references: List[str]) -> Dict[str, Any]:
    if not any(reference.strip() for reference in references):
        raise ValueError("the label names no problem: it is empty")
    return _of_problem({"kind": "math", "references": references})


def response_of(query: str, prompt: str) -> str:
    """The part of ``query`` that the model wrote, without the tokens that end it.

    A query that does not hold its prompt is an error: judged as it is, an example in the prompt would
    count as the answer.
    """
    tail = prompt[-PROMPT_TAIL_CHARS:]
    for part in (prompt, tail):
        at = query.find(part)
        if at >= 0:
            return without_end_tokens(query[at + len(part) :])
    raise ValueError("the query does not contain its prompt")


def without_end_tokens(text: str) -> str:
    """``text`` without the tokens that end it."""
    text = text.rstrip()
    while True:
        for token in END_TOKENS:
            if text.endswith(token):
                text = text[: -len(token)].rstrip()
                break
        else:
            return text


def text_of(completion: Any) -> str:
    """The text of a completion that may be a list of messages: what its last message says."""
    if isinstance(completion, str):
        return completion
    if isinstance(completion, Mapping):
        return _content(completion.get("content"))
    if isinstance(completion, Sequence) and completion:
        said = [it for it in completion if _field(it, "role") in ("assistant", None)]
        return _content(_field((said or completion)[-1], "content"))
    return ""


def _field(message: Any, name: str) -> Any:
    return message.get(name) if isinstance(message, Mapping) else getattr(message, name, None)


def _content(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        parts = (part.get("text", "") for part in content if isinstance(part, Mapping))
        return "".join(part for part in parts if isinstance(part, str))
    return ""
