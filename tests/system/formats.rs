//! What each problem format does besides its verdicts, which are in `verdicts.rs`: several languages,
//! points, hidden tests, and problems whose own programs fail.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use harness::{Client, Service};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::wire::{self, ADD, SUBTRACT, brief, expect_verdict, judge_one, program, small_limits};
use crate::{Needs, named};

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "formats",
        [
            functions_are_called_as_they_are_written,
            functions_are_called_in_every_language_that_can,
            livecodebench_and_apps_rows_are_judged,
            checkers_of_the_problem_judge_and_never_crash_into_a_verdict,
            dmoj_folders_have_points_and_errors_with_a_line,
            dmoj_batches_are_skipped_and_scored,
            dmoj_generators_make_input_and_answer,
            dmoj_checkers_in_python_and_in_each_convention,
            signatures_join_a_submission_with_the_problems_main,
            interactive_problems_blame_the_right_side,
            groups_points_and_feedback_levels,
            equal_submissions_are_judged_once,
        ]
    )
}

/// A program, its language, and what must come of it.
type Row = (&'static str, &'static str, &'static str);

const SPIN: &str = "while True: pass\n";
const CRASH: &str = "raise ValueError('no')\n";

fn submission(language: &str, source: &str, problem: &Value) -> Value {
    program(language, source, problem, &small_limits())
}

async fn expect(
    client: &Client,
    language: &str,
    source: &str,
    problem: &Value,
    verdict: &str,
) -> Result<Value> {
    wire::expect(client, &submission(language, source, problem), verdict).await
}

/// A failure of the problem: no verdict and no reward.
async fn expect_failure(client: &Client, source: &str, problem: &Value) -> Result<String> {
    let result = judge_one(client, &submission("python", source, problem)).await?;
    ensure!(
        result["verdict"].is_null() && result["reward"].is_null() && result["valid"] == false,
        "a failure of the problem became a verdict: {}",
        brief(&result)
    );
    ensure!(result["failure"]["class"] == "judge", "{}", brief(&result));
    Ok(result["failure"]["message"].as_str().unwrap_or_default().to_owned())
}

async fn functions_are_called_as_they_are_written() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let problem = json!({"kind": "function", "entry": "add", "tests": [
        {"args": [1, 2], "expected": 3}, {"args": [[1], [2.5]], "expected": [1, 2.5]}]});
    expect(&client, "python", "def add(a, b): print('noise'); return a + b", &problem, "accepted")
        .await?;
    expect(&client, "python", "def other(a, b): return 3", &problem, "runtime_error").await?;
    let prelude = "class Solution:\n    def add(self, a: List[int], b) -> Optional[int]:\n        return reduce(lambda x, y: x + y, (a, b))\n";
    expect(&client, "python", prelude, &problem, "accepted").await?;
    let result = expect(
        &client,
        "c",
        "int main(",
        &json!({"kind": "stdio", "tests": [{"stdout": "3"}]}),
        "compile_error",
    )
    .await?;
    ensure!(result["stages"][0]["outcome"] == "failed", "{}", brief(&result));
    service.terminate().await
}

async fn functions_are_called_in_every_language_that_can() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let problem = json!({"kind": "function", "entry": "pairs", "tests": [
        {"args": [[3, 1, 2], "ab", 2.5, true], "expected": [["a", 3], ["b", 1]]},
        {"args": [[], "", 0, false], "expected": []}]});
    let right: [Row; 3] = [
        (
            "javascript",
            "const pairs = (a, s, x, b) => [...s].map((c, i) => [c, a[i]]);",
            "accepted",
        ),
        (
            "javascript",
            "class Solution { pairs(a, s, x, b) { return [...s].map((c, i) => [c, a[i]]); } }",
            "accepted",
        ),
        ("javascript", "const pairs = () => { throw new Error('no'); };", "runtime_error"),
    ];
    for (language, source, verdict) in right {
        expect(&client, language, source, &problem, verdict).await?;
    }
    let numbers = json!({"kind": "function", "entry": "twice", "tests": [
        {"args": [[3, 1, 2], "a\"\u{e9}"], "expected": {"a\"\u{e9}": [6, 2, 4]}},
        {"args": [[-9007199254740993_i64], ""], "expected": {"": [-18014398509481986_i64]}}]});
    let java = "import java.util.*;\nclass Solution {\n  public Map<String, List<Long>> twice(long[] a, String s) {\n    List<Long> all = new ArrayList<>();\n    for (long x : a) all.add(2 * x);\n    return Map.of(s, all);\n  }\n}\n";
    expect(&client, "java", java, &numbers, "accepted").await?;
    expect(&client, "java", &java.replace("2 * x", "3 * x"), &numbers, "wrong_answer").await?;
    let cpp = "class Solution {\npublic:\n  map<string, vector<long long>> twice(vector<long long>& a, const string& s) {\n    cout << \"noise\" << endl;\n    for (auto& x : a) x *= 2;\n    return {{s, a}};\n  }\n};\n";
    expect(&client, "cpp", cpp, &numbers, "accepted").await?;
    expect(&client, "cpp", &cpp.replace("*= 2", "*= 3"), &numbers, "wrong_answer").await?;
    expect(&client, "cpp", "int twice(", &numbers, "compile_error").await?;
    let free = "vector<long long> f(vector<long long> a, string s) { return a; }\nauto twice(vector<long long> a, string s) { for (auto& x : a) x += x; return map<string, vector<long long>>{{s, a}}; }\n";
    expect(&client, "cpp", free, &numbers, "accepted").await?;
    service.terminate().await
}

async fn livecodebench_and_apps_rows_are_judged() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let lcb = json!({"kind": "livecodebench", "metadata": "{\"func_name\": \"f\"}", "tests": [
        {"input": "[1, 2]\n3", "output": "[4, 5]", "testtype": "functional"},
        {"input": "[]\n3", "output": "[]", "testtype": "functional", "hidden": true}]});
    let source =
        "class Solution:\n    def f(self, a, b):\n        return tuple(x + b for x in a)\n";
    expect(&client, "python", source, &lcb, "accepted").await?;
    let wrong = expect(
        &client,
        "python",
        "class Solution:\n    def f(self, a, b): return [4, 5]\n",
        &lcb,
        "wrong_answer",
    )
    .await?;
    ensure!(
        wrong["tests"][1]["stdout"] == "" && wrong["tests"][1]["answer"].is_null(),
        "{}",
        brief(&wrong)
    );
    let stdin = json!({"kind": "input_output", "inputs": ["1 2\n"], "outputs": ["3.0\n"]});
    expect(&client, "python", ADD, &stdin, "accepted").await?;
    let apps = json!({"kind": "input_output", "preset": "apps", "fn_name": "f",
        "inputs": [[[1, 2]], [[3]]], "outputs": [[3], [3]]});
    expect(&client, "python", "def f(a): return sum(a)", &apps, "accepted").await?;
    expect(&client, "python", "def f(a): return 3.5", &apps, "wrong_answer").await?;
    let verl =
        json!({"kind": "input_output", "preset": "verl", "inputs": ["1 2"], "outputs": ["3"]});
    expect(&client, "python", ADD, &verl, "accepted").await?;
    expect(&client, "python", "print('3 ')", &verl, "wrong_answer").await?;
    service.terminate().await
}

const CHECK_SUM: &str =
    "import sys\ninput, output, answer = (open(p).read() for p in sys.argv[1:4])\n";

fn checked(convention: &str, body: &str) -> Value {
    let program =
        json!({"language": "python", "source": format!("{CHECK_SUM}{body}"), "type": convention});
    json!({"kind": "stdio", "tests": [{"stdin": "1 2\n", "stdout": "3\n", "points": 10}],
        "checker": {"name": "program", "program": program}})
}

async fn checkers_of_the_problem_judge_and_never_crash_into_a_verdict() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let judge = "print('expected', answer.strip()); sys.exit(output.split() != answer.split())\n";
    let problem = checked("default", judge);
    expect(&client, "python", ADD, &problem, "accepted").await?;
    let result = expect(&client, "python", SUBTRACT, &problem, "wrong_answer").await?;
    ensure!(result["tests"][0]["message"] == "expected 3\n", "{}", brief(&result));
    for (convention, body, verdict) in [
        ("testlib", "sys.exit(2)\n", "wrong_answer"),
        ("testlib", "print('points 4', file=sys.stderr); sys.exit(7)\n", "accepted"),
        ("coci", "print('partial 1/4', file=sys.stderr); sys.exit(7)\n", "accepted"),
        ("peg", "print('1\\n2'); sys.exit(1)\n", "accepted"),
    ] {
        expect(&client, "python", ADD, &checked(convention, body), verdict).await?;
    }
    let mut partial = submission(
        "python",
        ADD,
        &checked("testlib", "print('points 4', file=sys.stderr); sys.exit(7)\n"),
    );
    partial["scoring"] = json!("points");
    let result = judge_one(&client, &partial).await?;
    ensure!(result["reward"] == 0.4 && result["points"]["earned"] == 4.0, "{}", brief(&result));
    for body in [
        "raise SystemExit(3)\n",
        "import os; os.abort()\n",
        "while True: pass\n",
        "x = []\nwhile True: x.append(bytearray(1 << 20))\n",
        "sys.exit(77)\n",
    ] {
        let mut problem = checked("testlib", body);
        problem["checker"]["program"]["limits"] = json!({"cpu_time_ms": 1000});
        expect_failure(&client, ADD, &problem).await.context(body)?;
    }
    let broken = json!({"kind": "stdio", "tests": [{"stdout": "3"}], "checker": {"name": "program",
        "program": {"language": "c", "source": "int main("}}});
    let message = expect_failure(&client, "print(3)", &broken).await?;
    ensure!(message.contains("not compiled"), "{message}");
    service.terminate().await
}

fn dmoj(init: &str, files: &[(&str, &str)]) -> Value {
    let mut all: BTreeMap<&str, &str> = files.iter().copied().collect();
    all.insert("init.yml", init);
    json!({"kind": "dmoj", "files": all})
}

const PAIRS: [(&str, &str); 4] =
    [("1.in", "1 2\n"), ("1.out", "3\n"), ("2.in", "40 2\n"), ("2.out", "42\n")];

async fn dmoj_folders_have_points_and_errors_with_a_line() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let init =
        "test_cases:\n- {in: 1.in, out: 1.out, points: 5}\n- {in: 2.in, out: 2.out, points: 5}\n";
    let problem = dmoj(init, &PAIRS);
    let result = expect(&client, "python", ADD, &problem, "accepted").await?;
    ensure!(result["points"] == json!({"earned": 10.0, "total": 10.0}), "{}", brief(&result));
    let lines = dmoj(
        &format!("checker: linematches\n{init}"),
        &[("1.in", ""), ("1.out", "a\nb\n"), ("2.in", ""), ("2.out", "a\n")],
    );
    let message = expect_failure(&client, "print('a')", &lines).await?;
    ensure!(message.contains("linematches"), "{message}");
    let refused = submission("python", ADD, &dmoj("test_cases:\n- {in: 9.in}\n", &PAIRS));
    let reply = client.post("/v1/judge", &refused).await?;
    ensure!(reply.status == 422 && reply.text().contains("init.yml:2"), "{}", reply.text());
    service.terminate().await
}

async fn dmoj_batches_are_skipped_and_scored() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let init = "test_cases:\n\
        - batched: [{in: 1.in, out: 1.out}, {in: 2.in, out: 2.out}]\n  points: 30\n\
        - batched: [{in: 2.in, out: 2.out}, {in: 1.in, out: 1.out}]\n  points: 50\n\
        - batched: [{in: 1.in, out: 1.out}]\n  points: 20\n  dependencies: [1]\n";
    let problem = dmoj(init, &PAIRS);
    let only_small = "a, b = map(int, input().split())\nprint(a + b if a < 10 else 0)\n";
    let result = expect(&client, "python", only_small, &problem, "wrong_answer").await?;
    let skipped: Vec<bool> = result["tests"]
        .as_array()
        .context("tests")?
        .iter()
        .map(|test| test["skipped"] == true)
        .collect();
    ensure!(skipped == [false, false, false, true, true], "{skipped:?}");
    ensure!(result["points"] == json!({"earned": 0.0, "total": 100.0}), "{}", brief(&result));
    let pretest =
        "pretest_test_cases:\n- {in: 2.in, out: 2.out}\ntest_cases:\n- {in: 1.in, out: 1.out}\n";
    let result =
        expect(&client, "python", only_small, &dmoj(pretest, &PAIRS), "wrong_answer").await?;
    ensure!(result["tests"][1]["skipped"] == true, "{}", brief(&result));
    service.terminate().await
}

async fn dmoj_generators_make_input_and_answer() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let generator = "#include <cstdio>\n#include <cstdlib>\nint main(int n, char **a) { int x = atoi(a[1]), y = atoi(a[2]); printf(\"%d %d\", x, y); fprintf(stderr, \"%d\\r\\n\", x + y); return x < 0; }\n";
    let problem = |args: &str| {
        let init = format!(
            "generator: gen.cpp\ntest_cases:\n- {{generator_args: {args}}}\n- {{generator_args: [1000, 1]}}\n"
        );
        dmoj(&init, &[("gen.cpp", generator)])
    };
    expect(&client, "python", ADD, &problem("[3, 4]"), "accepted").await?;
    expect(&client, "python", SUBTRACT, &problem("[3, 4]"), "wrong_answer").await?;
    let message = expect_failure(&client, ADD, &problem("[-1, 4]")).await?;
    ensure!(message.contains("generator"), "{message}");
    service.terminate().await
}

async fn dmoj_checkers_in_python_and_in_each_convention() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let module = "from dmoj.result import CheckerResult\nfrom dmoj.utils.unicode import utf8text\n\
        def check(process_output, judge_output, judge_input, point_value, slack=0, **kwargs):\n    \
        print('noise')\n    difference = abs(int(utf8text(process_output)) - int(judge_output))\n    \
        if difference == 0: return True\n    \
        return CheckerResult(difference <= slack, point_value / 2 if difference <= slack else 0, feedback='off by %d' % difference)\n";
    let init = "checker: {name: check.py, args: {slack: 1}}\ntest_cases:\n- {in: 1.in, out: 1.out, points: 8}\n";
    let files = [PAIRS[0], PAIRS[1], ("check.py", module)];
    let problem = dmoj(init, &files);
    let result = expect(&client, "python", "print(3)", &problem, "accepted").await?;
    ensure!(result["points"]["earned"] == 8.0, "{}", brief(&result));
    let result = expect(&client, "python", "print(4)", &problem, "accepted").await?;
    ensure!(
        result["points"]["earned"] == 4.0 && result["tests"][0]["message"] == "off by 1",
        "{}",
        brief(&result)
    );
    expect(&client, "python", "print(9)", &problem, "wrong_answer").await?;
    expect_failure(&client, "print('x')", &problem).await?;
    let checker = "#include <fstream>\n#include <iostream>\n#include \"limit.h\"\nint main(int n, char **a) { std::ifstream o(a[1]), r(a[2]); int x, y; o >> x; r >> y; std::cout << x << std::endl; return x - y > LIMIT || y - x > LIMIT; }\n";
    let init = "checker: {name: bridged, args: {files: [check.cpp, limit.h], lang: CPP17, type: peg}}\ntest_cases:\n- {in: 1.in, out: 1.out}\n";
    let problem =
        dmoj(init, &[PAIRS[0], PAIRS[1], ("check.cpp", checker), ("limit.h", "#define LIMIT 1\n")]);
    expect(&client, "python", "print(4)", &problem, "accepted").await?;
    expect(&client, "python", "print(5)", &problem, "wrong_answer").await?;
    service.terminate().await
}

async fn signatures_join_a_submission_with_the_problems_main() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let entry = "#include <stdio.h>\n#include \"add.h\"\nint main(void) { int a, b; scanf(\"%d %d\", &a, &b); printf(\"%d\\n\", add(a, b)); return 0; }\n";
    let files = [PAIRS[0], PAIRS[1], ("main.c", entry), ("add.h", "int add(int a, int b);\n")];
    let init =
        "signature_grader: {entry: main.c, header: add.h}\ntest_cases:\n- {in: 1.in, out: 1.out}\n";
    let problem = dmoj(init, &files);
    expect(&client, "c", "int add(int a, int b) { return a + b; }\n", &problem, "accepted").await?;
    let with_main = "int add(int a, int b) { return a - b; }\nint main(void) { return 0; }\n";
    expect(&client, "c", with_main, &problem, "wrong_answer").await?;
    expect(&client, "c", "int sub(int a, int b) { return a - b; }\n", &problem, "compile_error")
        .await?;
    let reply = client.post("/v1/judge", &submission("python", ADD, &problem)).await?;
    ensure!(reply.status == 422 && reply.text().contains("signature"), "{}", reply.text());
    service.terminate().await
}

const GUESSED: &str = "import sys\nlow, high = 1, 1000\nwhile True:\n    middle = (low + high) // 2\n    print(middle, flush=True)\n    said = input()\n    if said == '=': break\n    if said == '<': high = middle - 1\n    else: low = middle + 1\n";

fn guessing(interactor: &str, convention: &str) -> Value {
    json!({"kind": "stdio", "tests": [{"stdin": "617\n", "stdout": "617\n"}],
        "interactor": {"language": "python", "source": interactor, "type": convention, "limits": {"cpu_time_ms": 1000}}})
}

const HOST: &str = "import sys\nsecret = int(open(sys.argv[1]).read())\nfor turn in range(12):\n    line = sys.stdin.readline()\n    if not line: sys.exit(1)\n    guess = int(line)\n    if guess == secret:\n        print('=', flush=True)\n        sys.exit(0)\n    print('<' if secret < guess else '>', flush=True)\nprint('too many', file=sys.stderr)\nsys.exit(1)\n";

async fn interactive_problems_blame_the_right_side() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let problem = guessing(HOST, "default");
    let result = expect(&client, "python", GUESSED, &problem, "accepted").await?;
    let said = result["tests"][0]["transcript"].as_str().context("no transcript")?;
    ensure!(said.starts_with("> 500\n< >\n"), "{said}");
    let linear = GUESSED.replace("(low + high) // 2", "low");
    let result = expect(&client, "python", &linear, &problem, "wrong_answer").await?;
    ensure!(
        result["tests"][0]["message"].as_str().is_some_and(|said| said.contains("too many")),
        "{}",
        brief(&result)
    );
    expect(&client, "python", "pass\n", &problem, "wrong_answer").await?;
    expect(&client, "python", CRASH, &problem, "runtime_error").await?;
    expect(&client, "python", SPIN, &problem, "time_limit_exceeded").await?;
    expect(
        &client,
        "python",
        "while True: print('7' * 1000, end='')\n",
        &problem,
        "output_limit_exceeded",
    )
    .await?;
    // Both wait: the submission for an answer to what it never said.
    let mut waits = submission("python", "input()\n", &problem);
    waits["limits"]["wall_time_ms"] = json!(2000);
    let result = judge_one(&client, &waits).await?;
    expect_verdict(&result, "wall_time_limit_exceeded")?;
    // The interactor does not answer, and does not end when the submission is gone.
    let stuck = HOST.replace(
        "    line = sys.stdin.readline()\n",
        "    import time; time.sleep(1000)\n    line = ''\n",
    );
    let mut waits = submission("python", GUESSED, &guessing(&stuck, "default"));
    waits["limits"]["wall_time_ms"] = json!(1000);
    let result = judge_one(&client, &waits).await?;
    ensure!(
        result["valid"] == false && result["failure"]["class"] == "judge",
        "{}",
        brief(&result)
    );
    for broken in ["import os\nos.abort()\n", "while True: pass\n", "raise SystemExit(9)\n"] {
        let result =
            judge_one(&client, &submission("python", GUESSED, &guessing(broken, "testlib")))
                .await?;
        ensure!(
            result["valid"] == false && result["failure"]["class"] == "judge",
            "{broken}: {}",
            brief(&result)
        );
    }
    // Two at once, with as many slots: neither may wait for the other's second.
    let both = json!([
        submission("python", GUESSED, &problem),
        submission("python", &format!("{GUESSED}#"), &problem)
    ]);
    let reply = client.post("/v1/judge", &json!({"submissions": both})).await?.ok_json()?;
    for result in reply["results"].as_array().context("results")? {
        expect_verdict(result, "accepted")?;
    }
    service.terminate().await
}

async fn groups_points_and_feedback_levels() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let problem = json!({"kind": "stdio", "tests": [
        {"stdin": "1 2\n", "stdout": "3\n"}, {"stdin": "4 5\n", "stdout": "9\n", "hidden": true},
        {"stdin": "6 7\n", "stdout": "13\n"}],
        "groups": [{"tests": [0], "points": 1}, {"tests": [1, 2], "points": 3}]});
    let source = "a, b = map(int, input().split())\nprint(a + b if a < 4 else 'secret guess')\n";
    let mut submission = submission("python", source, &problem);
    for (feedback, tests, shows) in
        [("none", 0, false), ("verdict", 3, false), ("first_failure", 3, false), ("full", 3, false)]
    {
        submission["feedback"] = json!(feedback);
        let result = judge_one(&client, &submission).await?;
        expect_verdict(&result, "wrong_answer")?;
        ensure!(
            result["tests"].as_array().is_some_and(|all| all.len() == tests),
            "{}",
            brief(&result)
        );
        // The test that failed is hidden: nothing of it is in any reply.
        ensure!(result.to_string().contains("secret") == shows, "{feedback}: {}", brief(&result));
        ensure!(!result.to_string().contains("4 5"), "{feedback}: {}", brief(&result));
    }
    submission["problem"]["tests"][1]["hidden"] = json!(false);
    submission["feedback"] = json!("first_failure");
    submission["scoring"] = json!("points");
    let result = judge_one(&client, &submission).await?;
    ensure!(result["reward"] == 0.25, "{}", brief(&result));
    let test = &result["tests"][1];
    ensure!(test["input"] == "4 5\n" && test["answer"] == "9\n", "{}", brief(&result));
    ensure!(
        result["tests"][2]["skipped"] == true && result["tests"][0]["stdout"] == "",
        "{}",
        brief(&result)
    );
    let closeness = result["tests"][0]["closeness"]["cpu_time"].as_f64().context("closeness")?;
    ensure!(closeness > 0.0 && closeness < 1.0, "{closeness}");
    service.terminate().await
}

async fn equal_submissions_are_judged_once() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let problem = json!({"kind": "stdio", "tests": [{"stdin": "1 2\n", "stdout": "3\n"}]});
    let eight: Vec<Value> = vec![submission("python", ADD, &problem); 8];
    let reply = client.post("/v1/judge", &json!({"submissions": eight})).await?.ok_json()?;
    let results = reply["results"].as_array().context("results")?;
    for result in results {
        expect_verdict(result, "accepted")?;
    }
    let cached = results.iter().filter(|result| result["cached"] == true).count();
    ensure!(cached == 7, "{cached} of 8 were known");
    let mut fresh = submission("python", ADD, &problem);
    fresh["fresh"] = json!(true);
    ensure!(judge_one(&client, &fresh).await?["cached"] == false, "it was to be judged anew");
    // What met a limit may do better another time, and what may vary is looked at every time.
    for source in [SPIN, "import random\nprint(3)\n"] {
        let submission = submission("python", source, &problem);
        judge_one(&client, &submission).await?;
        ensure!(judge_one(&client, &submission).await?["cached"] == false, "{source} was kept");
    }
    let metrics = client.get("/metrics").await?.text();
    let line = "assay_cache_lookups_total{cache=\"verdicts\",source=\"shared\"}";
    ensure!(metrics.contains(line) || metrics.contains("source=\"kept\""), "no hits are counted");
    service.terminate().await
}
