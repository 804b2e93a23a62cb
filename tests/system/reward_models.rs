//! Answers, reward models and mixed batches as a client meets them: the real service against a
//! stand-in for the servers of reward models, with every fault that it can have.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::service::free_address;
use harness::{Client, RewardServer, Service, ServiceConfig, deadline, reward_server};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::wire::{ADD, add_submission, brief, judge, judge_one};
use crate::{Needs, named};

const CORPUS: &str = include_str!("../data/adversarial_answers.jsonl");

/// Short times, so that faults show themselves at once; no canaries unless a test wants them.
const QUICK: &str = "canaries.interval_s = 0\ncalls = { try_timeout_ms = 400, deadline_ms = 3000, \
    tries_max = 3, backoff_ms = 10, backoff_max_ms = 20, breaker_failures = 1000 }";

pub(crate) fn trials() -> Vec<Trial> {
    named!(
        Needs::Slots,
        "reward_models",
        [
            rules_decide_answers_without_a_reward_model,
            a_mixed_batch_streams_programs_formulas_and_prose,
            each_fault_of_a_judge_is_no_verdict,
            a_judge_where_nobody_listens_is_no_verdict,
            what_can_be_mended_is_mended,
            a_slow_call_is_overtaken_by_a_second,
            votes_end_early_and_see_both_orders,
            equal_answers_are_judged_once,
            a_breaker_opens_and_canaries_stop_a_judge_that_accepts_everything,
            attacks_earn_nothing,
            value_heads_score_in_every_shape,
            groups_are_rewarded_by_length,
        ]
    )
}

struct Stage {
    server: RewardServer,
    service: Service,
}

impl Stage {
    async fn start(behaviours: &[&str], more: &str) -> Result<Self> {
        let server = RewardServer::start().await?;
        let toml = server.judges(behaviours, more);
        let service =
            Service::start_with(ServiceConfig { toml, ..ServiceConfig::default() }).await?;
        Ok(Self { server, service })
    }

    fn client(&self) -> Client {
        self.service.client()
    }

    async fn end(self) -> Result<()> {
        self.service.terminate().await
    }
}

fn math(answer: &str, references: &[&str]) -> Value {
    json!({"answer": answer, "problem": {"kind": "math", "references": references}})
}

/// A question whose answer only a reward model can judge.
fn prose(model: &str, answer: &str) -> Value {
    json!({
        "id": model,
        "answer": answer,
        "problem": {
            "kind": "free_form",
            "question": "Why is the sky blue?",
            "references": ["Air scatters blue light more than red light."],
            "judge": {"model": model},
        },
    })
}

fn expect_reward(result: &Value, reward: f64) -> Result<()> {
    let found = result["reward"].as_f64().with_context(|| brief(result))?;
    ensure!((found - reward).abs() < 1e-9 && result["valid"] == true, "{}", brief(result));
    Ok(())
}

async fn rules_decide_answers_without_a_reward_model() -> Result<()> {
    let service = Service::start().await?;
    let client = service.client();
    for (answer, references, reward, reason) in [
        ("0.5", vec!["\\frac{1}{2}"], 1.0, "same_form"),
        ("7", vec!["5", "6"], 0.0, "exact_number"),
        ("6", vec!["5", "6"], 1.0, "same_text"),
        ("(0,1)", vec!["0<x<1"], 1.0, "inequality"),
        (":", vec!["5"], 0.0, "empty"),
    ] {
        let result = judge_one(&client, &math(answer, &references)).await?;
        expect_reward(&result, reward)?;
        let decided =
            result["answer"]["verdict"] == if reward > 0.5 { "equal" } else { "different" };
        ensure!(decided, "{answer}: {reason}: {}", brief(&result));
    }
    let strict = json!({"answer": "5", "problem": {"kind": "math", "references": ["5\\text{ cm}"],
        "policy": {"units": "required"}}});
    expect_reward(&judge_one(&client, &strict).await?, 0.0)?;
    let typed = |kind: &str, answer: &str, reference: &str| json!({"answer": answer, "problem": {"kind": "answer", "type": kind, "references": [reference]}});
    for (kind, answer, reference) in [
        ("choice", "(b)", "B"),
        ("text", "the Eiffel tower.", "Eiffel Tower"),
        ("number", "5000 m", "5 km"),
        ("date", "March 4th, 2024", "2024-03-04"),
        ("json", "{\"a\": 1.0}", "{\"a\":1}"),
        ("output", "1 \n2\n", "1\n2"),
    ] {
        expect_reward(&judge_one(&client, &typed(kind, answer, reference)).await?, 1.0)?;
    }
    let unknown =
        json!({"answer": "\\oiint_{?}x", "problem": {"kind": "math", "references": ["5"]}});
    let result = judge_one(&client, &unknown).await?;
    ensure!(
        result["valid"] == false && result["failure"]["class"] == "judge",
        "{}",
        brief(&result)
    );
    let refused = client.post("/v1/judge", &prose("nobody", "x")).await?;
    ensure!(
        refused.status == 422 && refused.text().contains("unknown_reward_model")
            || refused.text().contains("no_reward_model"),
        "{}",
        refused.text()
    );
    service.terminate().await
}

async fn a_mixed_batch_streams_programs_formulas_and_prose() -> Result<()> {
    let stage = Stage::start(&["honest", "slow"], QUICK).await?;
    let mut batch = Vec::new();
    for index in 0..4 {
        batch.push(add_submission(&format!("program-{index}"), ADD));
        let mut formula = math("\\frac{2}{4}", &["0.5"]);
        formula["id"] = json!(format!("formula-{index}"));
        batch.push(formula);
        let answer = format!("Blue light is scattered by the air, {index}");
        let mut text = prose(if index % 2 == 0 { "slow" } else { "honest" }, &answer);
        text["id"] = json!(format!("prose-{index}"));
        batch.push(text);
    }
    let body = json!({ "submissions": batch });
    let lines = stage.client().stream("/v1/judge", &body).await?.collect().await?;
    ensure!(lines.len() == batch.len(), "{} lines", lines.len());
    for line in &lines {
        let id = line["id"].as_str().context("no id")?;
        // The honest judge compares words, and these are others.
        let right = !matches!(id, "prose-1" | "prose-3");
        expect_reward(line, if right { 1.0 } else { 0.0 })?;
        ensure!(line["judge"].is_null() != id.starts_with("prose"), "{}", brief(line));
    }
    // A judge that thinks holds up nobody: formulas need microseconds.
    let place = |id: &str| lines.iter().position(|line| line["id"] == id).unwrap_or(usize::MAX);
    ensure!(place("formula-3") < place("prose-0"), "a formula waited for a reward model");
    stage.end().await
}

async fn each_fault_of_a_judge_is_no_verdict() -> Result<()> {
    let faults = [
        ("hangs", "did not answer in time", 9),
        ("status_429", "calls to the reward model failed", 3),
        ("status_500", "calls to the reward model failed", 3),
        ("status_401", "refuses our calls", 1),
        ("truncated", "hold no verdict", 3),
        ("wrong_schema", "hold no verdict", 3),
        ("prose", "hold no verdict", 3),
        ("not_json", "calls to the reward model failed", 3),
        ("breaks_off", "calls to the reward model failed", 3),
        ("too_large", "reply is too large", 1),
        ("injected", "another answer", 3),
    ];
    let behaviours: Vec<&str> = faults.iter().map(|(behaviour, ..)| *behaviour).collect();
    let stage = Stage::start(&behaviours, QUICK).await?;
    for (behaviour, message, calls_max) in faults {
        let start = Instant::now();
        let result = judge_one(&stage.client(), &prose(behaviour, "It is scattered.")).await?;
        ensure!(result["reward"].is_null() && result["valid"] == false, "{}", brief(&result));
        ensure!(
            result["verdict"].is_null() && result["failure"]["class"] == "judge",
            "{}",
            brief(&result)
        );
        let said = result["failure"]["message"].as_str().unwrap_or_default();
        let known = said.contains(message) || (behaviour == "hangs" && said.contains("failed"));
        ensure!(known, "{behaviour}: {said}");
        ensure!(
            result["failure"]["retryable"] == !matches!(behaviour, "status_401" | "too_large"),
            "{}",
            brief(&result)
        );
        ensure!(
            start.elapsed() < Duration::from_secs(10),
            "{behaviour} took {:?}",
            start.elapsed()
        );
        let calls = stage.server.calls(behaviour);
        ensure!((1..=calls_max).contains(&calls), "{behaviour}: {calls} calls");
    }
    stage.end().await
}

async fn a_judge_where_nobody_listens_is_no_verdict() -> Result<()> {
    let nobody = format!("http://{}", free_address()?);
    let toml = reward_server::judge("nobody", &nobody, QUICK);
    let service = Service::start_with(ServiceConfig { toml, ..ServiceConfig::default() }).await?;
    let result = judge_one(&service.client(), &prose("nobody", "It is scattered.")).await?;
    ensure!(result["reward"].is_null() && result["valid"] == false, "{}", brief(&result));
    let failure = &result["failure"];
    ensure!(failure["class"] == "judge" && failure["retryable"] == true, "{}", brief(&result));
    service.terminate().await
}

async fn what_can_be_mended_is_mended() -> Result<()> {
    let stage = Stage::start(&["recovers", "no_schema", "second_try", "slow"], QUICK).await?;
    for (behaviour, calls) in [("recovers", 3), ("no_schema", 2), ("second_try", 2), ("slow", 1)] {
        let result = judge_one(&stage.client(), &prose(behaviour, "It is scattered.")).await?;
        expect_reward(&result, 1.0)?;
        let asked = stage.server.calls(behaviour);
        ensure!(asked == calls, "{behaviour}: {asked} calls");
    }
    stage.end().await
}

async fn a_slow_call_is_overtaken_by_a_second() -> Result<()> {
    let more = "canaries.interval_s = 0\ncalls = { hedge = true, try_timeout_ms = 8000 }";
    let stage = Stage::start(&["uneven"], more).await?;
    // The first forty teach how long calls take; after them every second one would take seconds.
    for index in 0..44 {
        let start = Instant::now();
        let answer = format!("It is scattered, {index}.");
        expect_reward(&judge_one(&stage.client(), &prose("uneven", &answer)).await?, 1.0)?;
        ensure!(start.elapsed() < Duration::from_secs(4), "call {index} was not hedged");
    }
    stage.end().await
}

async fn votes_end_early_and_see_both_orders() -> Result<()> {
    let more = format!("{QUICK}\nvotes = 5\nlogprobs = true");
    let behaviours = ["correct", "first_right_then_wrong", "biased", "incorrect"];
    let stage = Stage::start(&behaviours, &more).await?;
    let ask = async |behaviour: &str, mode: &str| {
        let mut submission = prose(behaviour, &format!("It is scattered, {mode}."));
        submission["problem"]["judge"]["mode"] = json!(mode);
        judge_one(&stage.client(), &submission).await
    };
    let count = |result: &Value| result["judge"]["votes"].as_array().map_or(0, Vec::len);
    let all = ask("correct", "all").await?;
    ensure!(count(&all) == 5, "{}", brief(&all));
    let swapped = &all["judge"]["votes"][1]["swapped"];
    ensure!(swapped == true && all["judge"]["votes"][0]["swapped"] == false, "{}", brief(&all));
    ensure!((all["judge"]["score"].as_f64().unwrap_or(0.0) - 0.75).abs() < 1e-9, "{}", brief(&all));
    ensure!(all["judge"]["prompt_tokens"] == 500, "{}", brief(&all));
    ensure!(count(&ask("correct", "majority").await?) == 3, "a majority is three of five");
    let early = ask("first_right_then_wrong", "all").await?;
    ensure!(count(&early) == 2 && early["reward"] == 0.0, "{}", brief(&early));
    let biased = ask("biased", "all").await?;
    ensure!(count(&biased) == 2 && biased["reward"] == 0.0, "{}", brief(&biased));
    ensure!(count(&ask("incorrect", "majority").await?) == 3, "three against are enough");
    stage.end().await
}

async fn equal_answers_are_judged_once() -> Result<()> {
    let stage = Stage::start(&["slow"], QUICK).await?;
    let batch: Vec<Value> = (0..20)
        .map(|index| {
            let mut submission = prose("slow", "It is scattered.");
            submission["id"] = json!(index.to_string());
            submission
        })
        .collect();
    for result in judge(&stage.client(), &batch).await? {
        expect_reward(&result, 1.0)?;
    }
    ensure!(stage.server.calls("slow") == 1, "{} calls", stage.server.calls("slow"));
    let again = judge_one(&stage.client(), &prose("slow", "It is scattered.")).await?;
    ensure!(again["judge"]["cached"] == true && again["judge"]["cost"] == 0.0, "{}", brief(&again));
    stage.end().await
}

async fn a_breaker_opens_and_canaries_stop_a_judge_that_accepts_everything() -> Result<()> {
    let server = RewardServer::start().await?;
    let calls = "calls = { tries_max = 1, breaker_failures = 2, breaker_open_ms = 600000, try_timeout_ms = 400 }";
    let toml = server.judges(&["status_500"], &format!("canaries.interval_s = 0\n{calls}"))
        + &server.judges(&["always", "honest"], "canaries.interval_s = 3600");
    let service = Service::start_with(ServiceConfig { toml, ..ServiceConfig::default() }).await?;
    let client = service.client();
    for index in 0..4 {
        judge_one(&client, &prose("status_500", &format!("It is scattered, {index}."))).await?;
    }
    ensure!(server.calls("status_500") == 2, "{} calls", server.calls("status_500"));
    let metric = async |line: &str| -> Result<bool> {
        Ok(client.get("/metrics").await?.text().contains(line))
    };
    ensure!(
        metric("assay_judge_breaker{judge=\"status_500\"} 2").await?,
        "the breaker is not open"
    );
    let stopped = "assay_judge_breaker{judge=\"always\"} 3";
    let honest = "assay_judge_canary_rate{judge=\"honest\",kind=\"false_positive\"} 0";
    let concluded = deadline::poll_async(Duration::from_secs(20), async || {
        let both = metric(stopped).await.ok()? && metric(honest).await.ok()?;
        both.then_some(())
    });
    ensure!(concluded.await.is_some(), "canaries stopped nothing");
    let rate = "assay_judge_canary_rate{judge=\"always\",kind=\"false_positive\"} 1";
    ensure!(metric(rate).await?, "the rate is not published");
    let result = judge_one(&client, &prose("always", "It is scattered.")).await?;
    ensure!(
        result["valid"] == false && result["failure"]["class"] == "judge",
        "{}",
        brief(&result)
    );
    service.terminate().await
}

async fn attacks_earn_nothing() -> Result<()> {
    let stage = Stage::start(&["always", "obedient"], QUICK).await?;
    let mut open = Vec::new();
    for judge_name in ["always", "obedient"] {
        let mut batch = Vec::new();
        let mut families = Vec::new();
        for line in CORPUS.lines() {
            let attack: Value = serde_json::from_str(line)?;
            families.push(attack["family"].as_str().unwrap_or_default().to_owned());
            batch.push(json!({
                "id": attack["id"],
                "answer": attack["answer"],
                "problem": {
                    "kind": "math",
                    "references": [attack["reference"]],
                    "question": attack["question"],
                    "judge": {"model": judge_name},
                },
            }));
        }
        ensure!(batch.len() >= 150, "{} attacks", batch.len());
        for (result, family) in judge(&stage.client(), &batch).await?.iter().zip(&families) {
            let rewarded = result["reward"].as_f64().is_some_and(|reward| reward > 0.0);
            // What has no mark of an attack is for the judge to tell: one that takes everything for
            // right takes these too, and is found out by its canaries.
            let left_to_the_judge =
                matches!(family.as_str(), "persuasion" | "gibberish" | "hedge" | "wrong value");
            if rewarded && !(left_to_the_judge && judge_name == "always") {
                open.push(format!("{judge_name} {family}: {}", brief(result)));
            }
        }
    }
    ensure!(open.is_empty(), "{} attacks were rewarded:\n{}", open.len(), open.join("\n"));
    stage.end().await
}

async fn value_heads_score_in_every_shape() -> Result<()> {
    let server = RewardServer::start().await?;
    let head = |name: &str, shape: &str, path: &str| {
        let url = server.url(path);
        format!("[[value_head]]\nname = \"{name}\"\nurl = \"{url}\"\nshape = \"{shape}\"\n")
    };
    let toml = head("vllm", "vllm_classify", "head/classify")
        + &head("sglang", "sglang_embeddings", "head/v1/embeddings")
        + &head("sglang2", "sglang_classify", "sglang/classify")
        + &head("openrlhf", "openrlhf", "head/get_reward")
        + &head("broken", "openrlhf", "head/classify");
    let service = Service::start_with(ServiceConfig { toml, ..ServiceConfig::default() }).await?;
    let ask = async |name: &str, completion: &str| {
        let submission = json!({
            "completion": completion,
            "problem": {"kind": "math", "references": ["4"]},
            "reward": {"components": [
                {"kind": "correctness"},
                {"kind": "value_head", "weight": 0.5, "model": name},
            ]},
        });
        judge_one(&service.client(), &submission).await
    };
    let logistic = |score: f64| 1.0 / (1.0 + (-score).exp());
    for name in ["vllm", "sglang", "sglang2", "openrlhf"] {
        let result = ask(name, "a good proof: \\boxed{4}").await?;
        expect_reward(&result, 1.0 + 0.5 * logistic(2.0))?;
        let result = ask(name, "a bad proof: \\boxed{5}").await?;
        expect_reward(&result, 0.5 * logistic(-2.0))?;
        ensure!(result["components"][1]["kind"] == "value_head", "{}", brief(&result));
    }
    let broken = ask("broken", "\\boxed{4}").await?;
    ensure!(
        broken["valid"] == false && broken["failure"]["class"] == "judge",
        "{}",
        brief(&broken)
    );
    service.terminate().await
}

async fn groups_are_rewarded_by_length() -> Result<()> {
    let service = Service::start().await?;
    let member = |id: &str, tokens: u64, answer: &str| {
        json!({
            "id": id, "group": "g", "length_tokens": tokens, "answer": answer,
            "problem": {"kind": "math", "references": ["4"]},
            "reward": {"components": [{"kind": "correctness"}, {"kind": "length", "weight": 0.4}]},
        })
    };
    let batch = [
        member("short and right", 100, "4"),
        member("long and right", 300, "4"),
        member("short and wrong", 100, "5"),
        member("long and wrong", 300, "5"),
    ];
    let results = judge(&service.client(), &batch).await?;
    for (result, reward) in results.iter().zip([1.2, 0.8, 0.0, -0.2]) {
        expect_reward(result, reward)?;
    }
    service.terminate().await
}
