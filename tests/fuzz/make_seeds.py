"""Makes the seeds of the fuzz targets from what the tests have: make_seeds.py, in this folder.

Small ones of every kind: hostile programs as requests, a problem of each kind, pairs of answers, archives.
"""
import base64
import gzip
import io
import json
import pathlib
import tarfile
import tomllib
import zipfile

HERE = pathlib.Path(__file__).parent
TESTS = HERE.parent
BYTES_MAX = 4096


def put(target, name, content):
    folder = HERE / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    content = content if isinstance(content, bytes) else content.encode()
    assert len(content) <= BYTES_MAX, (target, name, len(content))
    (folder / name).write_bytes(content)


def submission(problem, language="python", **more):
    given = {"language": language, "source": "x", "problem": problem} | more
    return json.dumps({key: value for key, value in given.items() if value is not None})


def programs():
    """One hostile program of each kind and language, as it is posted."""
    seen = set()
    for folder in sorted((TESTS / "programs").iterdir()):
        expect = tomllib.loads((folder / "expect.toml").read_text())
        kind, language = expect["kind"], expect["language"]
        source = next(path.read_text() for path in folder.iterdir() if path.stem == "main")
        put_edits = kind == "repository" and len(source) < BYTES_MAX
        if put_edits:
            put("patch", folder.name, source)
        if kind == "run" or (kind, language) in seen or len(source) > 1500:
            continue
        seen.add((kind, language))
        put("completion", folder.name, f"<think>so</think>\n```{language}\n{source}```\n")
        problem = {
            "stdio": lambda: {"tests": expect["tests"]},
            "assertions": lambda: {"code": expect["code"]},
            "function": lambda: {"entry": expect["entry"], "tests": expect["calls"]},
            "unit_tests": lambda: {"framework": expect["framework"], "files": expect["files"], "tests": expect["names"]},
            "repository": lambda: {
                "base": {"files": expect["base"]},
                "files": expect["files"],
                "test": {"framework": expect["framework"]},
                "fail_to_pass": expect["names"],
            },
        }[kind]()
        body = submission({"kind": kind} | problem, language, source=source, limits=expect.get("limits", {}))
        if len(body) <= BYTES_MAX:
            put("submission", folder.name, body)


def submissions():
    test = {"stdin": "1 2\n", "stdout": "3\n"}
    helper = {"language": "python", "source": "x"}
    for name, problem, more in [
        ("groups", {"kind": "stdio", "tests": [test, test | {"hidden": True, "points": 2}], "groups": [{"tests": [0], "points": 1}, {"tests": [1], "points": 3, "depends_on": [0]}]}, {"scoring": "points", "feedback": "first_failure"}),
        ("checker", {"kind": "stdio", "tests": [test], "checker": {"name": "program", "program": helper | {"type": "testlib", "flags": []}}}, {}),
        ("interactor", {"kind": "stdio", "tests": [test], "interactor": helper | {"type": "coci"}}, {}),
        ("livecodebench", {"kind": "livecodebench", "metadata": '{"func_name": "f"}', "tests": [{"input": "[1]\n3", "output": "[4]", "testtype": "functional"}]}, {}),
        ("input_output", {"kind": "input_output", "preset": "apps", "fn_name": "f", "inputs": [[[1, 2]]], "outputs": [[3]]}, {}),
        ("dmoj", {"kind": "dmoj", "files": {"init.yml": "test_cases:\n- {in: a, out: b}\n", "a": "1\n", "b": {"base64": "Mg=="}}}, {}),
        ("junit", {"kind": "unit_tests", "framework": "junit4", "files": {"ATest.java": "@Test"}}, {"language": "java"}),
        ("command", {"kind": "repository", "base": {"archive": {"base64": "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="}}, "files": {}, "build": [["make"]], "test": {"command": ["t"], "parser": "tap"}, "fail_to_pass": ["a"], "protected": ["b/", "**/c"]}, {}),
        ("math", {"kind": "math", "references": ["1/2"], "policy": {"preset": "strict"}}, {"language": None, "source": None, "answer": "0.5"}),
        ("answer", {"kind": "answer", "type": "json", "references": ["[1]"]}, {"language": None, "source": None, "completion": "\\boxed{[1]}"}),
        ("reward", {"kind": "stdio", "tests": [test]}, {"reward": {"components": [{"name": "correctness", "weight": 1.0}]}, "on_flag": "zero"}),
    ]:
        put("submission", name, submission(problem, **more))
    one = json.loads(submission({"kind": "stdio", "tests": [test]}))
    put("submission", "batch", json.dumps({"submissions": [one, one], "deadline_ms": 1000}))


def folders():
    files = "=== 1.in\n1 2\n\n=== 1.out\n3\n\n=== gen.cpp\nx\n=== check.py\nx\n=== add.h\nx\n=== limit.h\nx"
    case = "{in: 1.in, out: 1.out}"
    for name, init in {
        "batches": f"test_cases:\n- {case}\n- batched: [{case}, {case}]\n  points: 3\n- batched: [{case}]\n  dependencies: [1]\n  short_circuit: false\n",
        "inherited": f"points: 7\nchecker: easy\noutput_limit_length: 10\ntest_cases:\n- {case}\n- batched:\n  - {case}\n  checker: {{name: floats, args: {{precision: 3, error_mode: relative}}}}\n",
        "binary": f"binary_data: true\nwall_time_factor: 2\npretest_test_cases: [{case}]\ntest_cases: [{case}]\nsymlinks: {{a: 1.in}}\n",
        "generator": "generator: {source: gen.cpp, flags: [-O2]}\ntest_cases:\n- {generator_args: [1, a]}\n- {in: 1.in}\n",
        "bridged": f"checker: {{name: bridged, args: {{files: [gen.cpp, limit.h], lang: CPP17, type: coci, flags: [-O1], feedback: false}}}}\ntest_cases: [{case}]\n",
        "module": f"checker: {{name: check.py, args: {{slack: 1}}}}\ntest_cases: [{case}]\n",
        "interactive": f"interactive: {{files: gen.cpp, type: testlib, preprocessing_time: 1}}\ntest_cases: [{case}]\n",
        "signature": f"signature_grader: {{entry: gen.cpp, header: add.h, allow_main: true}}\ntest_cases: [{case}]\n",
        "archive": "archive: data.zip\ntest_cases: {case_points: [30, 70, 1]}\n",
        "patterns": "archive: data.zip\ntest_cases:\n  input_format: '^(?P<batch>\\w)[./](?P<case>\\d+)\\.in$'\n  output_format: '^(?P<batch>\\w)[./](?P<case>\\d+)\\.out$'\n",
        "anchors": f"x: &a {case}\ntest_cases:\n- *a\n- <<: *a\n  checker: linematches\n",
        "wrong": "chekcer: standard\ncustom_judge: x\ntest_cases:\n- {in: missing}\n- 3\n- batched:\n  - batched: []\n",
    }.items():
        put("problem_folder", name, init + files)


def answers():
    with open(TESTS.parent / "judge/math/tests/tricky_pairs.jsonl") as lines:
        for at, line in enumerate(lines):
            pair = json.loads(line)
            if at % 6 == 0:
                put("math", pair["id"], bytes([at // 6 % 6]) + f"{pair['gold']}\n{pair['pred']}".encode())


def archives():
    tar_gz = base64.b64decode((TESTS / "data/calculator.tar.gz.base64").read_text())
    put("archive", "calculator.tar.gz", tar_gz)
    put("archive", "claims.tar", base64.b64decode((TESTS / "data/claims_ten_gigabytes.tar.base64").read_text())[:BYTES_MAX])
    for name, kind in [("link", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE), ("file", tarfile.REGTYPE)]:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for path in ("a", f"b/{'long/' * 25}c"):
                entry = tarfile.TarInfo(path)
                entry.type, entry.linkname, entry.size = kind, "a", 2 if kind == tarfile.REGTYPE else 0
                tar.addfile(entry, io.BytesIO(b"x\n"))
        put("archive", f"{name}.tar.gz", gzip.compress(out.getvalue(), mtime=0))
    for name, paths in [("two.zip", ["1.in", "d/2.in"]), ("up.zip", ["../x"]), ("folder.zip", ["d/"])]:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zip:
            for path in paths:
                zip.writestr(zipfile.ZipInfo(path), "x\n" * 20)
        put("archive", name, out.getvalue())


def outputs():
    for name, text in {
        "pytest": "PASSED tests/test_a.py::test_b\nFAILED tests/test_a.py::test_c - assert 0\nERROR x.py\n",
        "tap": "TAP version 13\n# Subtest: a\n    ok 1 - b\n    1..1\nok 1 - a\nnot ok 2 - c # TODO\n  ---\n  error: x\n  ...\n",
        "go": '{"Action":"run","Package":"p","Test":"T/a"}\n{"Action":"output","Package":"p","Test":"T/a","Output":"x\\n"}\n{"Action":"fail","Package":"p","Test":"T/a"}\n',
        "cargo": "     Running unittests src/lib.rs (target/debug/deps/a-1)\ntest a::b ... ok\ntest a::c ... FAILED\ntest d ... ignored\n",
        "junit": '<testsuite><testcase classname="a.B" name="c"/><testcase classname="a" name="d"><failure message="x">y</failure></testcase></testsuite>',
        "ledger": '\nassay-running "a"\n\nassay-report 00 {"control":true,"collected":["a"],"results":[["a","call","passed",""]],"errors":[],"faults":[]}\n',
        "value": '{"dict":[[{"tuple":[1,2.5]},{"set":["a\\u00e9"]}],[null,{"float":"inf"}]]}',
        "points": "1\n2\n===\npoints 4\npartial 1/4\n",
        "module": '{"passed":true,"points":0.5,"feedback":"x"}',
    }.items():
        put("results", name, text)
    for at in range(27):
        put("checkers", f"checker_{at:02}", bytes([at]) + b"1 2.50\nx y\n\n===\n1 2.5\nx y\n")
    put("patch", "files", json.dumps({"a.py": "x = 1\n", "b/c.txt": None, "d/e": ""}))
    put("patch", "rename", "diff --git a/b/c.txt b/d.txt\nsimilarity index 80%\nrename from b/c.txt\nrename to d.txt\n--- a/b/c.txt\n+++ b/d.txt\n@@ -2,3 +2,3 @@\n two\n-three\n+3\n four\n")
    put("patch", "end", "--- a/b/no_newline\n+++ b/b/no_newline\n@@ -1 +1 @@\n-last\n\\ No newline at end of file\n+last\n")


for make in (programs, submissions, folders, answers, archives, outputs):
    make()
