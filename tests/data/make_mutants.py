#!/usr/bin/env python3
"""Makes humaneval_mutants.json: one off-by-one mutant of each canonical solution that its tests catch.

A candidate changes exactly one integer constant by one, or moves one comparison over its boundary
(< to <=, and so on). The first candidate, in source order, that the problem's assertions reject
quickly is kept; a problem without one is left out. Deterministic: the same data gives the same file.

    python3 tests/data/make_mutants.py          # writes tests/data/humaneval_mutants.json
"""
import ast
import copy
import gzip
import json
import pathlib
import resource
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
TIME_LIMIT_S = 4
BOUNDARY = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}


def sites(tree):
    """Places that can be moved by one, in source order: (node index, which operator or None)."""
    for index, node in enumerate(ast.walk(tree)):
        if isinstance(node, ast.Constant) and type(node.value) is int:
            yield index, None
        if isinstance(node, ast.Compare):
            for which, operator in enumerate(node.ops):
                if type(operator) in BOUNDARY:
                    yield index, which


def mutant(tree, index, which):
    """A copy of `tree` with one site moved by one."""
    changed = copy.deepcopy(tree)
    node = list(ast.walk(changed))[index]
    if which is None:
        node.value += 1
    else:
        node.ops[which] = BOUNDARY[type(node.ops[which])]()
    return ast.unparse(changed) + "\n"


def bounded():
    resource.setrlimit(resource.RLIMIT_CPU, (TIME_LIMIT_S, TIME_LIMIT_S))
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))


def rejected(problem, source):
    """Whether the assertions fail on `source`, by an exception and not by a limit."""
    program = f"{source}\n{problem['test']}\ncheck({problem['entry_point']})\n"
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", program],
            capture_output=True,
            timeout=2 * TIME_LIMIT_S,
            preexec_fn=bounded,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 1


def first_caught(problem):
    tree = ast.parse(problem["prompt"] + problem["canonical_solution"])
    for index, which in sites(tree):
        source = mutant(tree, index, which)
        if rejected(problem, source):
            return source
    return None


def main():
    with gzip.open(FOLDER / "humaneval.jsonl.gz", "rt", encoding="utf-8") as lines:
        problems = [json.loads(line) for line in lines]
    mutants = {}
    for problem in problems:
        source = first_caught(problem)
        if source is not None:
            mutants[problem["task_id"]] = source
    text = json.dumps(mutants, indent=1, sort_keys=True) + "\n"
    (FOLDER / "humaneval_mutants.json").write_text(text, encoding="utf-8")
    print(f"{len(mutants)} of {len(problems)} problems have a mutant that their tests catch")


if __name__ == "__main__":
    main()
