//! Every language of the table: right, wrong, broken, crashing and endless programs.

use anyhow::{Context, Result, bail, ensure};
use harness::{Client, Service};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::wire::{brief, expect_verdict, judge_one, stdio_submission, with_limits};
use crate::{Needs, named};

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "languages",
        [
            the_table_lists_every_language_with_its_state,
            an_unavailable_language_is_a_clear_error,
            bash_programs_get_their_verdicts,
            c_programs_get_their_verdicts,
            cpp_programs_get_their_verdicts,
            java_programs_get_their_verdicts,
            javascript_programs_get_their_verdicts,
            python_programs_get_their_verdicts,
            rust_programs_get_their_verdicts,
        ]
    )
}

/// What is posted in one language; each program reads two numbers and writes their sum.
struct Samples {
    language: &'static str,
    add: &'static str,
    wrong: &'static str,
    crash: &'static str,
    endless: &'static str,
    broken: &'static str,
    /// `runtime_error` where nothing is compiled.
    broken_verdict: &'static str,
}

const LANGUAGES: [&str; 7] = ["bash", "c", "cpp", "java", "javascript", "python", "rust"];

async fn the_table_lists_every_language_with_its_state() -> Result<()> {
    let service = Service::start().await?;
    let listed = languages(&service.client()).await?;
    for language in LANGUAGES {
        let entry = listed.iter().find(|entry| entry["name"] == language);
        let entry = entry.with_context(|| format!("{language} is not listed"))?;
        let available = entry["available"].as_bool().context("available")?;
        ensure!(available == entry["reason"].is_null(), "{entry}");
    }
    for needed in ["bash", "c", "cpp", "python"] {
        let available = |entry: &&Value| entry["name"] == needed && entry["available"] == true;
        ensure!(listed.iter().any(|entry| available(&entry)), "the tests need {needed}");
    }
    service.terminate().await
}

async fn an_unavailable_language_is_a_clear_error() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    for entry in languages(&client).await? {
        if entry["available"] == true {
            continue;
        }
        let name = entry["name"].as_str().context("name")?;
        let body = json!({"submissions": [stdio_submission("x", name, "x", &[("", "")])]});
        let reply = client.post("/v1/judge", &body).await?;
        ensure!((400..500).contains(&reply.status), "{name}: {}", reply.text());
        let code = reply.json()?["error"]["code"].clone();
        ensure!(code == "language_unavailable", "{name}: {code}");
    }
    service.terminate().await
}

async fn python_programs_get_their_verdicts() -> Result<()> {
    get_their_verdicts(&Samples {
        language: "python",
        add: "print(sum(map(int, input().split())))\n",
        wrong: "print(input())\n",
        crash: "raise ValueError('no')\n",
        endless: "while True:\n    pass\n",
        broken: "print(\n",
        broken_verdict: "runtime_error",
    })
    .await
}

async fn bash_programs_get_their_verdicts() -> Result<()> {
    get_their_verdicts(&Samples {
        language: "bash",
        add: "read a b\necho $((a + b))\n",
        wrong: "read a b\necho $((a - b))\n",
        crash: "exit 3\n",
        endless: "while :; do :; done\n",
        broken: "if then (\n",
        broken_verdict: "runtime_error",
    })
    .await
}

async fn javascript_programs_get_their_verdicts() -> Result<()> {
    get_their_verdicts(&Samples {
        language: "javascript",
        add: "const [a, b] = require('fs').readFileSync(0, 'utf8').split(/\\s+/).map(Number);\n\
              console.log(a + b);\n",
        wrong: "console.log('3x');\n",
        crash: "throw new Error('no');\n",
        endless: "for (;;) {}\n",
        broken: "function (\n",
        broken_verdict: "runtime_error",
    })
    .await
}

async fn c_programs_get_their_verdicts() -> Result<()> {
    get_their_verdicts(&Samples {
        language: "c",
        add: "#include <stdio.h>\nint main(void) { long a, b; scanf(\"%ld %ld\", &a, &b); \
              printf(\"%ld\\n\", a + b); return 0; }\n",
        wrong: "#include <stdio.h>\nint main(void) { puts(\"0\"); return 0; }\n",
        crash: "int main(void) { *(volatile int *)0 = 1; return 0; }\n",
        endless: "int main(void) { for (;;) { } }\n",
        broken: "int main(void) { return x; }\n",
        broken_verdict: "compile_error",
    })
    .await
}

async fn cpp_programs_get_their_verdicts() -> Result<()> {
    get_their_verdicts(&Samples {
        language: "cpp",
        add: "#include <iostream>\nint main() { long a, b; std::cin >> a >> b; \
              std::cout << a + b << std::endl; }\n",
        wrong: "#include <iostream>\nint main() { std::cout << 0 << std::endl; }\n",
        crash: "#include <stdexcept>\nint main() { throw std::runtime_error(\"no\"); }\n",
        endless: "int main() { volatile bool on = true; while (on) { } }\n",
        broken: "int main() { std::cout << 0; }\n",
        broken_verdict: "compile_error",
    })
    .await
}

async fn java_programs_get_their_verdicts() -> Result<()> {
    let main = "public static void main(String[] args)";
    let class = |body: &str| -> &'static str {
        format!("import java.util.*;\npublic class Main {{ {main} {{ {body} }} }}\n").leak()
    };
    get_their_verdicts(&Samples {
        language: "java",
        add: class(
            "Scanner in = new Scanner(System.in); \
             System.out.println(in.nextLong() + in.nextLong());",
        ),
        wrong: class("System.out.println(0);"),
        crash: class("throw new IllegalStateException(\"no\");"),
        endless: class("long n = 0; while (true) { n++; }"),
        broken: class("int x = \"text\";"),
        broken_verdict: "compile_error",
    })
    .await
}

async fn rust_programs_get_their_verdicts() -> Result<()> {
    get_their_verdicts(&Samples {
        language: "rust",
        add: "fn main() { let mut line = String::new(); \
              std::io::stdin().read_line(&mut line).unwrap(); \
              let sum: i64 = line.split_whitespace().map(|n| n.parse::<i64>().unwrap()).sum(); \
              println!(\"{sum}\"); }\n",
        wrong: "fn main() { println!(\"0\"); }\n",
        crash: "fn main() { panic!(\"no\"); }\n",
        endless: "fn main() { let mut n = 0u64; loop { n = unsafe { std::ptr::read_volatile(&n) } + 1; } }\n",
        broken: "fn main() { let x: i32 = \"text\"; }\n",
        broken_verdict: "compile_error",
    })
    .await
}

/// A language that the host lacks is another test's subject: here it must be listed as lacking.
async fn get_their_verdicts(samples: &Samples) -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let listed = languages(&client).await?;
    let entry = listed.iter().find(|entry| entry["name"] == samples.language);
    let entry = entry.with_context(|| format!("{} is not listed", samples.language))?;
    if entry["available"] != true {
        ensure!(entry["reason"].is_string(), "unavailable without a reason: {entry}");
        return service.terminate().await;
    }
    let cases = [
        ("add", samples.add, "accepted"),
        ("wrong", samples.wrong, "wrong_answer"),
        ("crash", samples.crash, "runtime_error"),
        ("endless", samples.endless, "time_limit_exceeded"),
        ("broken", samples.broken, samples.broken_verdict),
    ];
    for (title, source, verdict) in cases {
        let tests = [("20 22\n", "42\n")];
        let submission = stdio_submission(title, samples.language, source, &tests);
        let limits = json!({"cpu_time_ms": 1500, "wall_time_ms": 20_000});
        let result = judge_one(&client, &with_limits(submission, limits)).await?;
        expect_verdict(&result, verdict).with_context(|| title)?;
        check_compile(&result, samples, verdict).with_context(|| brief(&result))?;
    }
    service.terminate().await
}

/// What the compiler said belongs to compiled languages, and to a failure with its message.
fn check_compile(result: &Value, samples: &Samples, verdict: &str) -> Result<()> {
    let compile = &result["compile"];
    if samples.broken_verdict != "compile_error" {
        return Ok(());
    }
    ensure!(compile["ok"] == (verdict != "compile_error"), "compile.ok");
    if verdict == "compile_error" {
        let said = compile["stderr"].as_str().unwrap_or_default();
        let said =
            if said.is_empty() { compile["stdout"].as_str().unwrap_or_default() } else { said };
        if !said.contains("error") {
            bail!("no error message");
        }
    }
    Ok(())
}

async fn languages(client: &Client) -> Result<Vec<Value>> {
    let reply = client.get("/v1/languages").await?.ok_json()?;
    reply["languages"].as_array().cloned().context("no languages")
}
