//! Each folder of `tests/programs/` is a test: the hostile program gets what it deserves, an honest
//! program is judged rightly after it in the same slot, and the idle service looks as before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use harness::program::{self, Kind, Program, Then};
use harness::{Baseline, Client, Service, ServiceConfig, deadline};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::tables::{documented, table};
use crate::wire::{
    ADD, ADD_SLOWLY, add_submission, assertions_submission, brief, expect_verdict, judge,
    judge_one, run,
};
use crate::{Needs, named, trial};

/// How long the service may take to look as before.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(5);

pub(crate) fn trials() -> Result<Vec<Trial>> {
    let mut trials = named!(
        Needs::Source,
        "programs",
        [
            every_folder_is_well_formed,
            cheats_are_many_and_none_is_rewarded,
            there_are_enough_programs_in_enough_languages
        ]
    );
    for name in program::names()? {
        let title = format!("programs::{name}");
        trials.push(trial(title, Needs::Slots, move || Box::pin(contained(name))));
    }
    Ok(trials)
}

async fn every_folder_is_well_formed() -> Result<()> {
    for name in program::names()? {
        if let Some(gap) = Program::load(&name)?.expect.known_gap {
            print_gap(&name, &gap);
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a gap that nobody hears of is forgotten")]
fn print_gap(name: &str, gap: &str) {
    println!("  known gap: {name}: {gap}");
}

/// Cheats in every language, none of them rewarded and no gap left open: the table of tests/README.md.
async fn cheats_are_many_and_none_is_rewarded() -> Result<()> {
    let names = program::names()?;
    let cheats: Vec<&String> = names.iter().filter(|name| is_cheat(name)).collect();
    ensure!(cheats.len() >= 60, "{} cheats", cheats.len());
    let mut lines: BTreeMap<(String, String), Cheats> = BTreeMap::new();
    let mut all = Cheats::default();
    for name in cheats {
        let expect = Program::load(name)?.expect;
        ensure!(expect.reward == Some(0.0), "{name} is rewarded");
        let format = match expect.kind {
            Kind::UnitTests | Kind::Repository => expect.framework.clone().unwrap_or_default(),
            Kind::Run | Kind::Stdio | Kind::Assertions | Kind::Function => String::new(),
        };
        let format = format!("{} {format}", expect.kind.name()).trim().to_owned();
        lines.entry((format, expect.language.clone())).or_default().count(&expect);
        all.count(&expect);
    }
    ensure!(all.languages.len() >= 4, "only in {:?}", all.languages);
    let head = ["format", "language", "cheats", "rewarded", "flags raised"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(lines.into_iter().map(|((format, _), cheats)| cheats.row(&format)));
    rows.push(all.row("all"));
    documented("cheats", &table(&rows))
}

fn is_cheat(name: &str) -> bool {
    name.starts_with("cheat_")
}

/// Cheats of one line of the table.
#[derive(Default)]
struct Cheats {
    count: usize,
    rewarded: usize,
    languages: BTreeSet<String>,
    flags: BTreeMap<String, usize>,
    unflagged: usize,
}

impl Cheats {
    fn count(&mut self, expect: &program::Expect) {
        self.count += 1;
        self.rewarded += usize::from(expect.reward != Some(0.0));
        self.languages.insert(expect.language.clone());
        self.unflagged += usize::from(expect.flags.is_empty());
        for flag in &expect.flags {
            *self.flags.entry(flag.clone()).or_default() += 1;
        }
    }

    fn row(&self, format: &str) -> Vec<String> {
        let flags = self.flags.iter().map(|(flag, count)| format!("{count} `{flag}`"));
        let none = (self.unflagged > 0).then(|| format!("{} none", self.unflagged));
        let languages: Vec<&str> = self.languages.iter().map(String::as_str).collect();
        vec![
            format.to_owned(),
            languages.join(", "),
            self.count.to_string(),
            self.rewarded.to_string(),
            flags.chain(none).collect::<Vec<_>>().join(", "),
        ]
    }
}

async fn there_are_enough_programs_in_enough_languages() -> Result<()> {
    let names = program::names()?;
    ensure!(names.len() >= 160, "{} programs", names.len());
    for language in ["c", "python", "bash", "javascript"] {
        let mut found = false;
        for name in &names {
            found |= Program::load(name)?.expect.language == language;
        }
        ensure!(found, "no program in {language}");
    }
    Ok(())
}

/// One slot, so that what follows runs where the hostile program ran; two where an honest one must
/// run beside it.
async fn contained(name: String) -> Result<()> {
    let program = Program::load(&name)?;
    let slots = if program.expect.beside { 2 } else { 1 };
    let service = Service::start_with(ServiceConfig { slots, ..ServiceConfig::default() }).await?;
    let client = service.client();
    if !is_available(&client, &program.expect.language).await? {
        bail!("{} is not available on this host", program.expect.language);
    }
    warmed(&client, slots).await.context("before")?;
    let pid = service.pid()?;
    let idle = settled(pid).await;

    let (path, body) = program.request();
    let hostile = async { client.post(path, &body).await?.ok_json() };
    let reply =
        if program.expect.beside { beside(&client, hostile).await? } else { hostile.await? };
    check(&program, &reply).with_context(|| brief(&reply))?;
    if let (Some(then), Some(source)) = (&program.expect.then, &program.then_source) {
        next(&client, then, source).await.context("the next program")?;
    }
    honest(&client).await.context("after")?;
    warmed(&client, slots).await.context("after")?;
    let mut changes = Vec::new();
    let same = deadline::poll(SETTLE_TIME_MAX, || {
        changes = Baseline::of(pid, &[]).shape().difference(&idle);
        changes.is_empty().then_some(())
    });
    let same = same.await.is_some();
    ensure!(same, "the idle service is not what it was: {changes:?}");
    service.terminate().await
}

/// Judges honest programs in the other slot until the hostile one is done.
async fn beside(client: &Client, hostile: impl Future<Output = Result<Value>>) -> Result<Value> {
    let mut hostile = std::pin::pin!(hostile);
    loop {
        let mut beside = std::pin::pin!(honest(client));
        tokio::select! {
            reply = &mut hostile => {
                beside.await.context("beside")?;
                return reply;
            }
            result = &mut beside => result.context("beside")?,
        }
    }
}

async fn is_available(client: &Client, language: &str) -> Result<bool> {
    let reply = client.get("/v1/languages").await?.ok_json()?;
    let languages = reply["languages"].as_array().context("no languages")?;
    Ok(languages.iter().any(|entry| entry["name"] == language && entry["available"] == true))
}

/// Has every slot run what keeps something for later: an interpreter of either kind of problem stays
/// warm in the slot that has used it. A slot warms up after its reply and before its next run, so
/// the last round says that the one before is all done. Programs that last fill all slots at once.
async fn warmed(client: &Client, slots: usize) -> Result<()> {
    let source = if slots == 1 { ADD } else { ADD_SLOWLY };
    let pause = if slots == 1 { "" } else { "import time\ntime.sleep(1)\n" };
    let stdio = add_submission("", source);
    let assertions = assertions_submission("", pause, "assert 1 + 1 == 2\n");
    let call = json!({"language": "python", "source": format!("{pause}def two(): return 2\n"),
        "problem": {"kind": "function", "entry": "two", "tests": [{"args": [], "expected": 2}]}});
    for submission in [&stdio, &assertions, &call, &stdio] {
        let numbered = |number: usize| {
            let mut submission = submission.clone();
            submission["id"] = json!(number.to_string());
            // What is remembered would not be run.
            submission["fresh"] = json!(true);
            submission
        };
        let submissions: Vec<Value> = (0..slots).map(numbered).collect();
        for result in judge(client, &submissions).await? {
            expect_verdict(&result, "accepted")?;
        }
    }
    Ok(())
}

async fn honest(client: &Client) -> Result<()> {
    let mut submission = add_submission("honest", ADD);
    submission["fresh"] = json!(true);
    expect_verdict(&judge_one(client, &submission).await?, "accepted")
}

async fn next(client: &Client, then: &Then, source: &str) -> Result<()> {
    let body = json!({"language": then.language, "source": source});
    let reply = run(client, &body).await?;
    ensure!(
        reply["stdout"] == then.stdout.as_str(),
        "expected {:?}, got {}",
        then.stdout,
        brief(&reply)
    );
    Ok(())
}

fn check(program: &Program, reply: &Value) -> Result<()> {
    let text = reply.to_string();
    for forbidden in &program.expect.forbidden {
        ensure!(!text.contains(forbidden), "{forbidden:?} occurs in the reply");
    }
    match program.expect.kind {
        Kind::Run => check_run(program, reply),
        Kind::Stdio | Kind::Assertions | Kind::Function | Kind::UnitTests | Kind::Repository => {
            check_judged(program, reply)
        }
    }
}

fn check_run(program: &Program, reply: &Value) -> Result<()> {
    let expect = &program.expect;
    ensure!(reply["failure"].is_null(), "a failure of ours");
    let kind = reply["termination"]["kind"].as_str().unwrap_or("none");
    ensure!(expect.termination.iter().any(|t| t == kind), "ended by {kind}");
    if let (Some(code), "exited") = (expect.exit_code, kind) {
        ensure!(reply["termination"]["code"] == code, "exit code");
    }
    if let Some(max) = expect.wall_time_ms_max {
        ensure!(reply["wall_time_ms"].as_f64().is_some_and(|time| time <= max), "it took too long");
    }
    if let Some(stdout) = &expect.stdout {
        ensure!(reply["stdout"] == stdout.as_str(), "expected stdout {stdout:?}");
    }
    Ok(())
}

fn check_judged(program: &Program, reply: &Value) -> Result<()> {
    let result = &reply["results"][0];
    let verdict = result["verdict"].as_str().unwrap_or("none");
    ensure!(program.expect.verdict.iter().any(|v| v == verdict), "verdict {verdict}");
    ensure!(result["valid"] == true && result["failure"].is_null(), "a failure of ours");
    ensure!(result["reward"].as_f64() == program.expect.reward, "reward {}", result["reward"]);
    let raised = result["flags"].as_array().context("flags")?;
    for flag in &program.expect.flags {
        ensure!(raised.iter().any(|found| found == flag.as_str()), "flag {flag} is not raised");
    }
    Ok(())
}

/// The shape of the idle service, once it has been the same twice.
async fn settled(pid: i32) -> harness::baseline::Shape {
    let mut last = Baseline::of(pid, &[]).shape();
    deadline::poll(SETTLE_TIME_MAX, || {
        let now = Baseline::of(pid, &[]).shape();
        let same = now == last;
        last = now;
        same.then_some(())
    })
    .await;
    last
}
