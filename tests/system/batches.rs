//! Work that is taken back, taken up again or cut off, and who may ask for it: against the real
//! service and real slots.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use harness::http::Content;
use harness::{Client, Service, ServiceConfig, deadline, process};
use hyper::Method;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::wire::{
    ADD, SLEEP, add_submission, brief, expect_verdict, judge_one, stdio_submission, with_limits,
};
use crate::{Needs, named};

/// How long something may take that nothing holds up, on a machine that is busy with other things.
const EVENT_TIME_MAX: Duration = Duration::from_secs(60);

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "batches",
        [
            a_killed_client_frees_all_slots_and_leaves_no_process,
            a_deleted_batch_frees_its_slots_and_says_what_was_not_judged,
            a_batch_outlives_its_connection_and_goes_on_after_a_number,
            a_deadline_gives_the_results_that_there_are,
            a_service_killed_under_load_leaves_nothing_after_its_successor_ran,
            tenants_come_and_go_by_a_signal_and_a_broken_file_changes_nothing,
            one_id_goes_through_the_log_of_all_stages,
        ]
    )
}

/// A program that shows under a name of its own in the list of processes.
fn sleeper(id: &str) -> Value {
    let sleep = stdio_submission(id, "bash", "exec sleep 98765\n", &[("", "")]);
    let mut sleeper = with_limits(sleep, json!({"wall_time_ms": 600_000}));
    sleeper["fresh"] = json!(true);
    sleeper
}

async fn metric(client: &Client, name: &str) -> Result<f64> {
    let text = client.get("/metrics").await?.text();
    let line = text.lines().find(|line| line.split(' ').next() == Some(name));
    let value = line.and_then(|line| line.split(' ').nth(1)?.parse().ok());
    value.with_context(|| format!("no metric {name}"))
}

/// Waits until metrics have these values.
async fn settled(client: &Client, values: &[(&str, f64)]) -> Result<()> {
    let settled = deadline::poll_async(EVENT_TIME_MAX, || async {
        for (name, value) in values {
            let is = metric(client, name).await.ok()?;
            if (is - value).abs() > 0.1 {
                return None;
            }
        }
        Some(())
    });
    settled.await.with_context(|| format!("not so after {EVENT_TIME_MAX:?}: {values:?}"))
}

fn sleeping(service: &Service) -> Result<usize> {
    let processes = process::descendants(service.pid()?);
    Ok(processes.iter().filter(|process| process.name == "sleep").count())
}

/// Waits until both slots run a sleeper, and nothing else.
async fn both_sleep(service: &Service) -> Result<()> {
    deadline::poll(EVENT_TIME_MAX, || (sleeping(service).ok()? == 2).then_some(()))
        .await
        .context("the programs were not started")
}

const IDLE: [(&str, f64); 4] = [
    ("assay_queue_submissions", 0.0),
    ("assay_slots_leased", 0.0),
    ("assay_slots_building", 0.0),
    ("assay_slots", 2.0),
];

async fn a_killed_client_frees_all_slots_and_leaves_no_process() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let submissions: Vec<Value> = (0..500).map(|n| sleeper(&n.to_string())).collect();
    let lines = client.stream("/v1/judge", &json!({"submissions": submissions})).await?;
    settled(&client, &[("assay_queue_submissions", 500.0), ("assay_slots_leased", 2.0)]).await?;
    both_sleep(&service).await?;
    drop(lines);
    settled(&client, &IDLE).await?;
    ensure!(sleeping(&service)? == 0, "a program was left");
    let result = judge_one(&client, &add_submission("next", ADD)).await?;
    expect_verdict(&result, "accepted")?;
    service.terminate().await
}

async fn begin(client: &Client, body: &Value) -> Result<String> {
    let reply = client.post("/v1/batches", body).await?;
    ensure!(reply.status == 202, "status {}: {}", reply.status, reply.text());
    let begun = reply.json()?;
    Ok(format!("/v1/batches/{}", begun["id"].as_str().context("no id")?))
}

async fn a_deleted_batch_frees_its_slots_and_says_what_was_not_judged() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let sleepers = (0..20).map(|n| sleeper(&n.to_string()));
    let submissions: Vec<Value> =
        std::iter::once(add_submission("fast", ADD)).chain(sleepers).collect();
    let batch = begin(&client, &json!({"submissions": submissions})).await?;
    both_sleep(&service).await?;
    let reply = client.request(Method::DELETE, &batch, Content::default()).await?.ok_json()?;
    ensure!(reply["status"] == "cancelled" && reply["answered"] == 21, "{}", brief(&reply));
    settled(&client, &IDLE).await?;
    ensure!(sleeping(&service)? == 0, "a program was left");
    let whole = client.get(&batch).await?.ok_json()?;
    for result in whole["results"].as_array().context("no results")? {
        let judged = result["id"] == "fast" && result["verdict"] == "accepted";
        let cancelled = result["failure"]["class"] == "cancelled" && result["reward"].is_null();
        ensure!(judged || cancelled, "{}", brief(result));
    }
    service.terminate().await
}

async fn a_batch_outlives_its_connection_and_goes_on_after_a_number() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let submissions: Vec<Value> = (0..12).map(|n| add_submission(&n.to_string(), ADD)).collect();
    let batch = begin(&client, &json!({"submissions": submissions})).await?;
    let mut seen = Vec::new();
    while seen.len() < 12 {
        // Three results, and then the connection breaks.
        let path = format!("{batch}/events?after={}", seen.len());
        let mut lines = client.follow(&path).await?;
        for _ in 0..3 {
            let line = lines.next().await?.context("the stream ended early")?;
            expect_verdict(&line, "accepted")?;
            seen.push((line["number"].as_u64(), line["index"].as_u64()));
        }
    }
    let numbers: Vec<_> = seen.iter().filter_map(|(number, _)| *number).collect();
    ensure!(numbers == (1..=12).collect::<Vec<_>>(), "{numbers:?}");
    let mut indexes: Vec<_> = seen.iter().filter_map(|(_, index)| *index).collect();
    indexes.sort_unstable();
    ensure!(indexes == (0..12).collect::<Vec<_>>(), "{indexes:?}");
    service.terminate().await
}

/// The fast one has no deadline of its own and is first; the request's deadline is far beyond it.
async fn a_deadline_gives_the_results_that_there_are() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let mut late = sleeper("late");
    late["deadline_ms"] = json!(300);
    let submissions = [add_submission("fast", ADD), late, sleeper("later")];
    let body = json!({"submissions": submissions, "deadline_ms": 20_000});
    let reply = client.post("/v1/judge", &body).await?.ok_json()?;
    expect_verdict(&reply["results"][0], "accepted")?;
    for at in 1..3 {
        let result = &reply["results"][at];
        let late = result["failure"]["class"] == "deadline" && result["valid"] == false;
        ensure!(late && result["reward"].is_null(), "{}", brief(result));
    }
    settled(&client, &IDLE).await?;
    service.terminate().await
}

/// The harness looks for what is left: processes, mounts, control groups, files.
async fn a_service_killed_under_load_leaves_nothing_after_its_successor_ran() -> Result<()> {
    let mut service = Service::start().await?;
    let submission = |n: usize| {
        let id = n.to_string();
        match n % 4 {
            0 => add_submission(&id, &format!("# {n}\n{ADD}")),
            1 => sleeper(&id),
            2 => add_submission(&id, &format!("# {n}\n{SLEEP}")),
            _ => {
                let source = format!("int main(void) {{ return {n}; }}");
                stdio_submission(&id, "c", &source, &[("", "")])
            }
        }
    };
    let submissions: Vec<Value> = (0..200).map(submission).collect();
    let client = service.client();
    let batch = begin(&client, &json!({"submissions": submissions[..100]})).await?;
    let rest = json!({"submissions": submissions[100..]});
    let lines = client.stream("/v1/judge", &rest).await?;
    deadline::poll(EVENT_TIME_MAX, || (sleeping(&service).ok()? > 0).then_some(()))
        .await
        .context("nothing was started")?;
    service.signal(Signal::SIGKILL)?;
    service.wait(EVENT_TIME_MAX).await?;
    drop(lines);
    let successor = service.restart().await?;
    let client = successor.client();
    expect_verdict(&judge_one(&client, &add_submission("a", ADD)).await?, "accepted")?;
    let reply = client.get(&batch).await?;
    ensure!(reply.status == 404, "status {} for a batch of the dead one", reply.status);
    successor.terminate().await
}

/// Makes a key as an operator does: the key, and the lines of the configuration.
pub(crate) fn new_key(name: &str) -> Result<(String, String)> {
    let assay = harness::service::executable_beside_us("assay")?;
    let output = std::process::Command::new(assay).args(["key", "new", name]).output()?;
    let text = String::from_utf8(output.stdout)?;
    let key = text.lines().map(str::trim).find(|line| line.starts_with("assay_"));
    let lines = text.find("[[tenant]]").context("no lines for the configuration")?;
    Ok((format!("Bearer {}", key.context("no key")?), text[lines..].to_owned()))
}

async fn status_as(client: &Client, key: Option<&str>) -> Option<u16> {
    let headers: Vec<_> = key.map(|key| ("authorization", key)).into_iter().collect();
    let languages = (Method::GET, "/v1/languages");
    let reply = client.request_with(languages.0, languages.1, Content::default(), &headers).await;
    reply.ok().map(|reply| reply.status)
}

async fn tenants_come_and_go_by_a_signal_and_a_broken_file_changes_nothing() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    let ((one, first), (two, second)) = (new_key("one")?, new_key("two")?);
    ensure!(status_as(&client, None).await == Some(200), "open at first");
    let becomes = async |key: Option<&str>, status: u16| {
        let found = deadline::poll_async(EVENT_TIME_MAX, || async {
            (status_as(&client, key).await == Some(status)).then_some(())
        });
        found.await.with_context(|| format!("never {status}; it said: {}", service.log()))
    };
    service.reconfigure(&first)?;
    becomes(None, 401).await?;
    becomes(Some(&one), 200).await?;
    service.reconfigure(&format!("{first}wieght = 3\n"))?;
    deadline::poll(EVENT_TIME_MAX, || service.log().contains("wieght").then_some(()))
        .await
        .context("the broken file was not spoken of")?;
    ensure!(status_as(&client, Some(&one)).await == Some(200), "the old configuration is gone");
    service.reconfigure(&second)?;
    becomes(Some(&two), 200).await?;
    ensure!(status_as(&client, Some(&one)).await == Some(401), "the old key still opens");
    let body = Content::json(&add_submission("a", ADD));
    let headers = [("authorization", two.as_str()), ("assay-priority", "interactive")];
    let reply = client.request_with(Method::POST, "/v1/judge", body, &headers).await?.ok_json()?;
    expect_verdict(&reply["results"][0], "accepted")?;
    service.terminate().await
}

async fn one_id_goes_through_the_log_of_all_stages() -> Result<()> {
    let toml = "[log]\nformat = \"json\"\nfilter = \"judge=debug\"\n".to_owned();
    let service = Service::start_with(ServiceConfig { toml, ..ServiceConfig::default() }).await?;
    let body = Content::json(&add_submission("a", ADD));
    let headers = [("x-request-id", "run-7.step-3")];
    let reply = service.client().request_with(Method::POST, "/v1/judge", body, &headers).await?;
    ensure!(reply.headers["x-request-id"] == "run-7.step-3", "{:?}", reply.headers);
    let mut events = Vec::new();
    for line in service.log().lines().filter(|line| line.contains("run-7.step-3")) {
        let event: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        events.push(event["fields"]["message"].as_str().unwrap_or_default().to_owned());
    }
    for message in ["granted a slot", "answered a submission", "answered"] {
        if !events.iter().any(|event| event == message) {
            bail!("no {message:?} among {events:?}; the log:\n{}", service.log());
        }
    }
    service.terminate().await
}
