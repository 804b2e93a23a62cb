//! The same submissions get the same verdicts on an idle machine and on one that is asked for four
//! times what it has.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::{Client, Service};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::wire::stdio_submission;
use crate::{Needs, trial_within};

pub(crate) fn trials() -> Vec<Trial> {
    let name = "stability::verdicts_do_not_depend_on_load".to_owned();
    let (count, rounds) = measure();
    // A round under load is two minutes for 200 submissions where this was written.
    let time_max = Duration::from_secs(60 + (count * rounds * 3) as u64);
    vec![trial_within(time_max, name, Needs::Slots, || Box::pin(verdicts_do_not_depend_on_load()))]
}

/// Programs of every kind.
const PROGRAMS: [(&str, &str); 14] = [
    ("python", "a, b = map(int, input().split())\nprint(a + b)\n"),
    ("python", "a, b = map(int, input().split())\nprint(a - b)\n"),
    ("python", "raise SystemExit(3)\n"),
    (
        "python",
        "x = sum(n * n for n in range(1000000))\na, b = map(int, input().split())\nprint(a + b)\n",
    ),
    ("python", "while True: pass\n"),
    ("python", "x = []\nwhile True: x.append(bytearray(1 << 20))\n"),
    ("python", "while True: print('x' * 10000)\n"),
    ("python", "print(\n"),
    ("python", "import time\ntime.sleep(0.2)\nprint(sum(map(int, input().split())))\n"),
    (
        "python",
        "def f(n): return n if n < 2 else f(n - 1) + f(n - 2)\nf(20)\nprint(sum(map(int, input().split())))\n",
    ),
    (
        "c",
        "#include <stdio.h>\nint main() { int a, b; scanf(\"%d %d\", &a, &b); printf(\"%d\\n\", a + b); }\n",
    ),
    (
        "c",
        "#include <stdio.h>\nint main() { volatile long n = 0; while (n < 50000000) n++; puts(\"3\"); }\n",
    ),
    ("c", "int main() { for (;;); }\n"),
    ("c", "int main() { return *(volatile int *)0; }\n"),
];

/// How many submissions a round has, and how many rounds there are of either kind. The full measure is
/// 200 in five rounds, with `ASSAY_STABILITY=full`.
fn measure() -> (usize, usize) {
    match std::env::var("ASSAY_STABILITY").as_deref() {
        Ok("full") => (200, 5),
        Ok(_) | Err(_) => (PROGRAMS.len(), 1),
    }
}

async fn verdicts_do_not_depend_on_load() -> Result<()> {
    let (count, rounds) = measure();
    let service = Service::start().await?;
    let client = service.client();
    let limits = json!({"cpu_time_ms": 600, "memory_bytes": 64 << 20, "output_bytes": 1 << 20});
    let submission = |number: usize| {
        let (language, program) = PROGRAMS[number % PROGRAMS.len()];
        let comment = if language == "c" { "//" } else { "#" };
        let source = format!("{comment} {number}\n{program}");
        let id = number.to_string();
        let mut submission = stdio_submission(&id, language, &source, &[("1 2\n", "3\n")]);
        (submission["limits"], submission["fresh"]) = (limits.clone(), json!(true));
        submission
    };
    let submissions: Vec<Value> = (0..count).map(submission).collect();
    let idle = verdicts(&client, &submissions).await?;
    ensure!(idle.iter().any(|verdict| verdict == "time_limit_exceeded"), "{idle:?}");
    for _ in 1..rounds {
        ensure!(verdicts(&client, &submissions).await? == idle, "changed on an idle machine");
    }
    let _load = Load::start()?;
    for _ in 0..rounds {
        let busy = verdicts(&client, &submissions).await?;
        let changed: Vec<_> = idle.iter().zip(&busy).filter(|(idle, busy)| idle != busy).collect();
        ensure!(changed.is_empty(), "{} verdicts changed under load: {changed:?}", changed.len());
    }
    service.terminate().await
}

async fn verdicts(client: &Client, submissions: &[Value]) -> Result<Vec<String>> {
    let reply = client.post("/v1/judge", &json!({"submissions": submissions})).await?.ok_json()?;
    let results = reply["results"].as_array().context("no results")?;
    let verdict = |result: &Value| result["verdict"].as_str().unwrap_or("none").to_owned();
    Ok(results.iter().map(verdict).collect())
}

/// Four busy processes for each processor, ended with it.
struct Load(Vec<Child>);

impl Load {
    fn start() -> Result<Self> {
        let processors = std::thread::available_parallelism()?.get();
        let spin = |_| {
            Command::new("/bin/sh")
                .args(["-c", "while :; do :; done"])
                .stdout(Stdio::null())
                .spawn()
        };
        Ok(Self((0..4 * processors).map(spin).collect::<Result<_, _>>()?))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
