//! The examples: a problem of each format, and what is written to it.

use serde_json::{Value, json};

use super::Cell::{Gets, In, Is, Never, With};
use super::{Cell, Format};
use crate::wire::{ADD, SUBTRACT, roomy_limits, small_limits};

const NO_CHECKER: &str = "Results are compared by own code; nothing of the problem runs.";
const NO_CHECKER_TESTS: &str = "Tests judge themselves; what they cannot load is `not_collected`.";

pub(super) fn all() -> Vec<Format> {
    let mut all =
        vec![stdio(), livecodebench(), input_output(), dmoj(), signature(), interactive()];
    all.extend([function_python(), function_javascript(), function_java(), function_cpp()]);
    all.extend([assertions("python"), assertions("javascript"), assertions_cpp()]);
    all.extend([pytest(), unittest(), node_test(), junit("junit4"), junit("junit5")]);
    all.extend([repository(), repository_node(), repository_command(), repository_cargo()]);
    all.push(repository_go());
    all
}

fn is(source: &str) -> Cell {
    Is(source.to_owned())
}

/// Cells of a format that is judged on standard output, in Python; a broken one in C.
fn programs(failure: Cell) -> [Cell; 8] {
    [
        is(ADD),
        is(SUBTRACT),
        is("while True: pass\n"),
        is("x = []\nwhile True: x.append(bytearray(1 << 20))\n"),
        is("while True: print('x' * 10000)\n"),
        is("raise ValueError('no')\n"),
        In("c", "int main(".to_owned()),
        failure,
    ]
}

/// What a function of Python does, in the order of the columns as far as they are alike.
const PYTHON: [&str; 6] = [
    "return a + b",
    "return abs(a + b)",
    "while True: pass",
    "x = []\n    while True: x.append(bytearray(1 << 20))",
    "import os\n    while True: os.write(2, b'x' * 65536)",
    "return a // 0",
];

const JAVASCRIPT: [&str; 6] = [
    "return a + b",
    "return Math.abs(a + b)",
    "for (;;);",
    "const x = []; for (;;) x.push(new Array(1e5).fill(a))",
    // Node writes to a pipe without waiting: a full one is an exception, not the end.
    "for (;;) try { require('fs').writeSync(2, 'x'.repeat(65536)); } catch {}",
    "return nothing",
];

const JAVA: [&str; 6] = [
    "return a + b;",
    "return Math.abs(a + b);",
    "for (;;);",
    "var x = new java.util.ArrayList<int[]>(); for (;;) x.add(new int[1 << 20]);",
    "for (;;) System.err.println(\"x\".repeat(65536));",
    "throw new IllegalStateException();",
];

const CPP: [&str; 6] = [
    "return a + b;",
    "return abs(a + b);",
    "volatile bool on = true; while (on) {} return 0;",
    "vector<string> x; for (;;) x.emplace_back(1 << 20, 'x');",
    "for (;;) cerr << string(65536, 'x');",
    "throw runtime_error(\"no\");",
];

/// Cells of a format whose programs are `wrap` of a body.
fn bodies(
    bodies: &[&str; 6],
    wrap: impl Fn(&str) -> String,
    broken: Cell,
    failure: Cell,
) -> [Cell; 8] {
    let [right, wrong, time, memory, output, crash] = bodies.map(|body| Is(wrap(body)));
    [right, wrong, time, memory, output, crash, broken, failure]
}

fn python(body: &str) -> String {
    format!("def add(a, b):\n    {body}\n")
}

fn stdio() -> Format {
    let tests = json!([{"stdin": "1 2\n", "stdout": "3\n"}]);
    let broken = json!({"name": "program",
        "program": {"language": "python", "source": "import os; os.abort()", "type": "testlib"}});
    let failing = json!({"kind": "stdio", "tests": tests, "checker": broken});
    Format {
        name: "stdio",
        about: "standard input and output",
        language: "python",
        problem: json!({"kind": "stdio", "tests": tests}),
        limits: small_limits(),
        cells: programs(With(failing)),
    }
}

fn livecodebench() -> Format {
    let tests = json!([{"input": "1\n2", "output": "3", "testtype": "functional"},
        {"input": "-1\n-2", "output": "-3", "testtype": "functional", "hidden": true}]);
    Format {
        name: "livecodebench",
        about: "LiveCodeBench row",
        language: "python",
        problem: json!({"kind": "livecodebench", "metadata": "{\"func_name\": \"add\"}",
            "tests": tests}),
        limits: small_limits(),
        cells: bodies(&PYTHON, python, In("cpp", "int add(".to_owned()), Never(NO_CHECKER)),
    }
}

fn input_output() -> Format {
    Format {
        name: "input_output",
        about: "APPS and TACO `input_output`",
        language: "python",
        problem: json!({"kind": "input_output", "preset": "apps", "inputs": ["1 2\n"],
            "outputs": ["3\n"]}),
        limits: small_limits(),
        cells: programs(Never(NO_CHECKER)),
    }
}

const PAIR: [(&str, &str); 2] = [("1.in", "1 2\n"), ("1.out", "3\n")];

/// A folder whose checker is `linematches` where it `fails`: it wants as many lines as the answer has.
fn folder(init: &str, files: &[(&str, &str)], fails: bool) -> Value {
    let checker = if fails { "checker: linematches\n" } else { "" };
    let init = format!("{checker}{init}test_cases:\n- {{in: 1.in, out: 1.out}}\n");
    let answer = if fails { "a\nb\n" } else { PAIR[1].1 };
    let mut all = json!({"init.yml": init, "1.in": PAIR[0].1, "1.out": answer});
    for (name, content) in files {
        all[*name] = json!(content);
    }
    json!({"kind": "dmoj", "files": all})
}

fn dmoj() -> Format {
    let init = "output_limit_length: 100000\n";
    Format {
        name: "dmoj",
        about: "DMOJ folder",
        language: "python",
        problem: folder(init, &[], false),
        limits: small_limits(),
        cells: programs(With(folder(init, &[], true))),
    }
}

fn signature() -> Format {
    let entry = "#include <stdio.h>\n#include \"add.h\"\nint main(void) { int a, b; scanf(\"%d %d\", &a, &b); printf(\"%d\\n\", add(a, b)); return 0; }\n";
    let files = [("main.c", entry), ("add.h", "int add(int a, int b);\n")];
    let init = "signature_grader: {entry: main.c, header: add.h}\n";
    let c = |body: &str| {
        format!(
            "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nint add(int a, int b) {{ {body} }}\n"
        )
    };
    let all = [
        "return a + b;",
        "return a - b;",
        "for (;;);",
        "for (;;) { char *p = malloc(1 << 20); if (!p) abort(); memset(p, 1, 1 << 20); }",
        "for (;;) puts(\"xxxxxxxxxxxxxxxx\");",
        "abort();",
    ];
    Format {
        name: "dmoj_signature",
        about: "DMOJ `signature_grader`",
        language: "c",
        problem: folder(init, &files, false),
        limits: small_limits(),
        cells: bodies(&all, c, is("int add("), With(folder(init, &files, true))),
    }
}

fn interactive() -> Format {
    let host = "import sys\nsecret = int(open(sys.argv[1]).read())\nfor turn in range(12):\n    line = sys.stdin.readline()\n    if not line: sys.exit(1)\n    guess = int(line)\n    if guess == secret:\n        print('=', flush=True)\n        sys.exit(0)\n    print('<' if secret < guess else '>', flush=True)\nsys.exit(1)\n";
    let problem = |interactor: &str| {
        json!({"kind": "stdio", "tests": [{"stdin": "617\n", "stdout": "617\n"}], "interactor":
            {"language": "python", "source": interactor, "limits": {"cpu_time_ms": 1000}}})
    };
    let right = "low, high = 1, 1000\nwhile True:\n    middle = (low + high) // 2\n    print(middle, flush=True)\n    said = input()\n    if said == '=': break\n    if said == '<': high = middle - 1\n    else: low = middle + 1\n";
    let mut cells = programs(With(problem("import os; os.abort()")));
    cells[0] = is(right);
    cells[1] = Is(right.replace("(low + high) // 2", "low"));
    cells[4] = is("while True: print('7' * 1000, end='')\n");
    Format {
        name: "interactive",
        about: "interactor",
        language: "python",
        problem: problem(host),
        limits: small_limits(),
        cells,
    }
}

fn function(language: &'static str, name: &'static str, cells: [Cell; 8]) -> Format {
    Format {
        name,
        about: "function call",
        language,
        problem: json!({"kind": "function", "entry": "add", "tests": [
            {"args": [1, 2], "expected": 3}, {"args": [-1, -2], "expected": -3}]}),
        limits: if language == "python" || language == "cpp" {
            small_limits()
        } else {
            roomy_limits()
        },
        cells,
    }
}

fn function_python() -> Format {
    let broken = Gets("runtime_error", "def add(a, b) return".to_owned());
    function("python", "function_python", bodies(&PYTHON, python, broken, Never(NO_CHECKER)))
}

fn function_javascript() -> Format {
    let wrap = |body: &str| format!("const add = (a, b) => {{ {body}; }};\n");
    let broken = Gets("runtime_error", "const add = (".to_owned());
    function(
        "javascript",
        "function_javascript",
        bodies(&JAVASCRIPT, wrap, broken, Never(NO_CHECKER)),
    )
}

fn function_java() -> Format {
    let wrap = |body: &str| format!("class Solution {{ int add(int a, int b) {{ {body} }} }}\n");
    let broken = Is(wrap("return a +"));
    function("java", "function_java", bodies(&JAVA, wrap, broken, Never(NO_CHECKER)))
}

fn cpp(body: &str) -> String {
    format!("int add(int a, int b) {{ {body} }}\n")
}

fn function_cpp() -> Format {
    let cells = bodies(&CPP, cpp, is("int add("), Never(NO_CHECKER));
    function("cpp", "function_cpp", cells)
}

fn assertions(language: &'static str) -> Format {
    let (name, code, cells) = if language == "python" {
        let broken = Gets("runtime_error", "def add(a, b) return".to_owned());
        let code = "assert add(1, 2) == 3\nassert add(-1, -2) == -3\n";
        ("assertions_python", code, bodies(&PYTHON, python, broken, Never(NO_CHECKER)))
    } else {
        let wrap = |body: &str| format!("const add = (a, b) => {{ {body}; }};\n");
        let broken = Gets("runtime_error", "const add = (".to_owned());
        let code = "const assert = require('node:assert');\nassert.strictEqual(add(1, 2), 3);\nassert.strictEqual(add(-1, -2), -3);\n";
        ("assertions_javascript", code, bodies(&JAVASCRIPT, wrap, broken, Never(NO_CHECKER)))
    };
    Format {
        name,
        about: "assertion program",
        language,
        problem: json!({"kind": "assertions", "code": code}),
        limits: if language == "python" { small_limits() } else { roomy_limits() },
        cells,
    }
}

fn assertions_cpp() -> Format {
    let wrap = |body: &str| {
        let head = "#include <assert.h>\n#include <bits/stdc++.h>\nusing namespace std;\n";
        format!("{head}{}", cpp(body))
    };
    let code = "int main() {\n    assert(add(1, 2) == 3);\n    assert(add(-1, -2) == -3);\n}\n";
    Format {
        name: "assertions_cpp",
        about: "assertion program (MultiPL-E)",
        language: "cpp",
        problem: json!({"kind": "assertions", "code": code}),
        limits: small_limits(),
        cells: bodies(&CPP, wrap, is("int add("), Never(NO_CHECKER)),
    }
}

const TEST_ADD: &str = "from solution import add\n\n\ndef test_small():\n    assert add(1, 2) == 3\n\n\ndef test_negative():\n    assert add(-1, -2) == -3\n";

/// What goes to the usual descriptors under pytest is captured, in files; this goes to the others.
const AROUND: &str = "import os\n    while True:\n        for fd in range(3, 20):\n            try: os.write(fd, b'x' * 65536)\n            except OSError: pass";

fn tests_of_python(name: &'static str, file: &str, names: [&str; 2]) -> Format {
    let broken = Gets("not_collected", "def add(a, b) return".to_owned());
    let mut cells = bodies(&PYTHON, python, broken, Never(NO_CHECKER_TESTS));
    if name == "pytest" {
        cells[4] = Is(python(AROUND));
    }
    Format {
        name,
        about: "unit tests",
        language: "python",
        problem: json!({"kind": "unit_tests", "framework": name,
            "files": {"tests/test_add.py": file}, "tests": names}),
        limits: roomy_limits(),
        cells,
    }
}

fn pytest() -> Format {
    let names = ["tests/test_add.py::test_small", "tests/test_add.py::test_negative"];
    tests_of_python("pytest", TEST_ADD, names)
}

fn unittest() -> Format {
    let file = "import unittest\nfrom solution import add\n\n\nclass AddTest(unittest.TestCase):\n    def test_small(self):\n        self.assertEqual(add(1, 2), 3)\n\n    def test_negative(self):\n        self.assertEqual(add(-1, -2), -3)\n";
    let names = ["tests.test_add.AddTest.test_small", "tests.test_add.AddTest.test_negative"];
    tests_of_python("unittest", file, names)
}

const TEST_ADD_NODE: &str = "const { test, describe, it } = require('node:test');\nconst assert = require('node:assert');\nconst { add } = require('../solution.js');\ntest('small', () => assert.strictEqual(add(1, 2), 3));\ndescribe('signs', () => { it('negative', async () => assert.strictEqual(add(-1, -2), -3)); });\n";

fn node(body: &str) -> String {
    format!("exports.add = (a, b) => {{ {body}; }};\n")
}

fn node_test() -> Format {
    let broken = Gets("not_collected", "exports.add = (".to_owned());
    Format {
        name: "node_test",
        about: "unit tests",
        language: "javascript",
        problem: json!({"kind": "unit_tests", "framework": "node_test",
            "files": {"tests/add.test.js": TEST_ADD_NODE}, "tests": ["small", "signs > negative"]}),
        limits: roomy_limits(),
        cells: bodies(&JAVASCRIPT, node, broken, Never(NO_CHECKER_TESTS)),
    }
}

const TEST_ADD_JAVA: &str = "import static org.junit.Assert.assertEquals;\nimport org.junit.Test;\n\npublic class AddTest {\n  @Test public void small() { assertEquals(3, Calculator.add(1, 2)); }\n  @Test public void negative() { assertEquals(-3, Calculator.add(-1, -2)); }\n}\n";

fn junit(framework: &'static str) -> Format {
    let file = match framework {
        "junit4" => TEST_ADD_JAVA.to_owned(),
        _ => TEST_ADD_JAVA
            .replace("org.junit.Assert.", "org.junit.jupiter.api.Assertions.")
            .replace("org.junit.Test;", "org.junit.jupiter.api.Test;"),
    };
    let wrap = |body: &str| {
        format!("public class Calculator {{ static int add(int a, int b) {{ {body} }} }}")
    };
    let broken = Is(wrap("return a +"));
    Format {
        name: framework,
        about: "unit tests",
        language: "java",
        problem: json!({"kind": "unit_tests", "framework": framework,
            "files": {"AddTest.java": file}, "tests": ["AddTest.small", "AddTest.negative"]}),
        limits: roomy_limits(),
        cells: bodies(&JAVA, wrap, broken, Never(NO_CHECKER_TESTS)),
    }
}

/// Edits as an object of path to content.
fn edit(path: &'static str, wrap: impl Fn(&str) -> String) -> impl Fn(&str) -> String {
    move |body| json!({path: wrap(body)}).to_string()
}

fn tree(source: (&str, String), test: (&str, &str), run: &Value, names: [&str; 2]) -> Value {
    json!({"kind": "repository", "base": {"files": {source.0: source.1}},
        "files": {test.0: test.1}, "test": run,
        "fail_to_pass": [names[0]], "pass_to_pass": [names[1]]})
}

/// A build that fails, where the language itself has none.
fn unbuilt(problem: &Value) -> Cell {
    let mut problem = problem.clone();
    problem["build"] = json!([["false"]]);
    With(problem)
}

fn repository() -> Format {
    let names = ["tests/test_add.py::test_small", "tests/test_add.py::test_negative"];
    let source = ("solution.py", python("return abs(a - b) - 4"));
    let test = ("tests/test_add.py", TEST_ADD);
    let problem = tree(source, test, &json!({"framework": "pytest"}), names);
    let wrap = edit("solution.py", python);
    let around = Is(wrap(AROUND));
    let mut cells = bodies(&PYTHON, wrap, unbuilt(&problem), Never(NO_CHECKER_TESTS));
    cells[4] = around;
    Format {
        name: "repository_pytest",
        about: "repository, sealed",
        language: "python",
        problem,
        limits: roomy_limits(),
        cells,
    }
}

fn repository_node() -> Format {
    let source = ("solution.js", node("return a - b - 4"));
    let test = ("tests/add.test.js", TEST_ADD_NODE);
    let run = json!({"framework": "node_test"});
    let problem = tree(source, test, &run, ["small", "signs > negative"]);
    let broken = unbuilt(&problem);
    Format {
        name: "repository_node",
        about: "repository, sealed",
        language: "javascript",
        problem,
        limits: roomy_limits(),
        cells: bodies(&JAVASCRIPT, edit("solution.js", node), broken, Never(NO_CHECKER_TESTS)),
    }
}

fn repository_command() -> Format {
    let names = ["tests/test_add.py::test_small", "tests/test_add.py::test_negative"];
    let command = ["/usr/bin/python3", "-m", "pytest", "-rA", "-p", "no:cacheprovider", "-s", "."];
    let source = ("solution.py", python("return abs(a - b) - 4"));
    let test = ("tests/test_add.py", TEST_ADD);
    let run = json!({"command": command, "parser": "pytest"});
    let problem = tree(source, test, &run, names);
    let wrap = edit("solution.py", python);
    // What the command writes of a test that failed does not say how.
    let crashed = Gets("wrong_answer", wrap(PYTHON[5]));
    let mut cells = bodies(&PYTHON, wrap, unbuilt(&problem), Never(NO_CHECKER_TESTS));
    cells[5] = crashed;
    Format {
        name: "repository_command",
        about: "repository, by a command",
        language: "python",
        problem,
        limits: roomy_limits(),
        cells,
    }
}

const TEST_ADD_RUST: &str = "use adder::add;\n\n#[test]\nfn small() {\n    assert_eq!(add(1, 2), 3);\n}\n\n#[test]\nfn negative() {\n    assert_eq!(add(-1, -2), -3);\n}\n";

/// With the toolchain that the slots show: the real `cargo test`.
fn repository_cargo() -> Format {
    let rust = |body: &str| format!("pub fn add(a: i64, b: i64) -> i64 {{\n    {body}\n}}\n");
    let source = ("src/lib.rs", rust("(a - b).abs() - 4"));
    // Else what tests write is kept in memory until they end.
    let command = ["cargo", "test", "--offline", "--test", "add", "--", "--nocapture"];
    let run = json!({"command": command, "parser": "cargo"});
    let mut problem = tree(source, ("tests/add.rs", TEST_ADD_RUST), &run, ["small", "negative"]);
    problem["base"]["files"]["Cargo.toml"] =
        json!("[package]\nname = \"adder\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    let all = [
        "a + b",
        "(a + b).abs()",
        "loop { std::hint::spin_loop() }",
        "let mut x = Vec::new(); loop { x.push(vec![1_u8; 1 << 20]) }",
        "loop { eprintln!(\"{}\", \"x\".repeat(1 << 16)) }",
        "std::process::exit(3)",
    ];
    let wrap = edit("src/lib.rs", rust);
    let broken = Gets("not_collected", wrap("a +"));
    // The process ends before it says anything of a test.
    let crashed = Gets("not_collected", wrap(all[5]));
    let mut cells = bodies(&all, wrap, broken, Never(NO_CHECKER_TESTS));
    cells[5] = crashed;
    Format {
        name: "repository_cargo",
        about: "repository, `cargo test`",
        language: "rust",
        problem,
        limits: json!({"cpu_time_ms": 10_000, "memory_bytes": 1 << 30, "output_bytes": 1 << 20}),
        cells,
    }
}

const TEST_ADD_GO: &str = "package adder\n\nimport \"testing\"\n\nfunc TestSmall(t *testing.T) {\n\tif got := Add(1, 2); got != 3 {\n\t\tt.Fatalf(\"Add(1, 2) = %d\", got)\n\t}\n}\n\nfunc TestNegative(t *testing.T) {\n\tif got := Add(-1, -2); got != -3 {\n\t\tt.Fatalf(\"Add(-1, -2) = %d\", got)\n\t}\n}\n";

/// The real `go test`, of the toolchain that the slots show; its standard library lies there compiled.
fn repository_go() -> Format {
    let go = |body: &str| {
        let imports = "import (\n\t\"bytes\"\n\t\"os\"\n)\n\nvar _, _ = bytes.Repeat, os.Exit\n";
        format!("package adder\n\n{imports}\nfunc Add(a, b int) int {{\n\t{body}\n}}\n")
    };
    let source = ("add.go", go("return a - b - 4"));
    let run = json!({"command": ["go", "test", "-json", "."], "parser": "go_json"});
    let names = ["TestSmall", "TestNegative"];
    let mut problem = tree(source, ("add_test.go", TEST_ADD_GO), &run, names);
    problem["base"]["files"]["go.mod"] = json!("module example/adder\n\ngo 1.19\n");
    problem["build"] = json!([["go", "build", "."]]);
    let all = [
        "return a + b",
        "return (a + b) & 0xff",
        "for {\n\t}",
        "var x [][]byte\n\tfor {\n\t\tx = append(x, bytes.Repeat([]byte{1}, 1<<20))\n\t}",
        "for {\n\t\tos.Stderr.Write(bytes.Repeat([]byte(\"x\"), 1<<16))\n\t}",
        "panic(a)",
    ];
    let wrap = edit("add.go", go);
    let broken = Is(wrap("return a +"));
    Format {
        name: "repository_go",
        about: "repository, `go test`",
        language: "go",
        problem,
        limits: json!({"cpu_time_ms": 8000, "memory_bytes": 1 << 30, "output_bytes": 1 << 20}),
        cells: bodies(&all, wrap, broken, Never(NO_CHECKER_TESTS)),
    }
}
