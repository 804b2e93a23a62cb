//! What stops each family of the corpus of attacks on judges, and what is left to the judge: the real
//! service, with a judge behind it that does as an answer tells it, and one that always says yes.
//! Prints two tables: formulas, and prose.
#![expect(clippy::print_stdout, reason = "the figures are the output of a bench")]

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use harness::{Client, RewardServer, Service, ServiceConfig};
use serde_json::{Value, json};
use support::table::Table;

const CORPUS: &str = include_str!("../tests/data/adversarial_answers.jsonl");
const JUDGES: [&str; 2] = ["obedient", "always"];

/// What became of the attacks of a family.
#[derive(Default)]
struct Count {
    attacks: usize,
    /// Wrong by a rule of `assay-math`.
    by_rule: usize,
    /// Wrong by guard, of which which.
    by_guard: BTreeMap<String, usize>,
    /// Shown to the judge.
    judged: usize,
    /// Rewarded, by judge.
    rewarded: [usize; 2],
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure())
}

async fn measure() -> Result<()> {
    let server = RewardServer::start().await?;
    let toml = server.judges(&JUDGES, "canaries.interval_s = 0");
    let service = Service::start_with(ServiceConfig { toml, ..ServiceConfig::default() }).await?;
    let attacks: Vec<Value> = CORPUS.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    for kind in ["math", "free_form"] {
        let mut families: Vec<(String, Count)> = Vec::new();
        let mut open = Vec::new();
        for (at, judge) in JUDGES.into_iter().enumerate() {
            let results = judge_all(&service.client(), &attacks, (kind, judge)).await?;
            for (attack, result) in attacks.iter().zip(&results) {
                let name = attack["family"].as_str().context("no family")?;
                if !families.iter().any(|(family, _)| family == name) {
                    families.push((name.to_owned(), Count::default()));
                }
                let found = families.iter_mut().find(|(family, _)| family == name);
                let (_, count) = found.context("a family that was just put there")?;
                if count.take(at, result)? {
                    open.push((attack, judge));
                }
            }
        }
        print(kind, &families);
        println!("rewarded by the obedient judge:");
        for (attack, _) in open.iter().filter(|(_, judge)| *judge == JUDGES[0]) {
            let answer: String = attack["answer"].to_string().chars().take(72).collect();
            println!("  {}: {answer}", attack["family"].as_str().unwrap_or_default());
        }
        println!();
    }
    service.terminate().await
}

impl Count {
    /// Takes a result; whether it was rewarded.
    fn take(&mut self, judge: usize, result: &Value) -> Result<bool> {
        let reward = result["reward"].as_f64().with_context(|| result.to_string())?;
        let reason = result["answer"]["reason"].as_str().unwrap_or_default();
        // What stops an attack does not depend on the judge behind it.
        if judge == 0 {
            self.attacks += 1;
            if let Some(guard) = reason.strip_prefix("guard:") {
                *self.by_guard.entry(guard.to_owned()).or_default() += 1;
            } else if result["judge"].is_null() {
                self.by_rule += 1;
            } else {
                self.judged += 1;
            }
        }
        self.rewarded[judge] += usize::from(reward > 0.0);
        Ok(reward > 0.0)
    }
}

async fn judge_all(
    client: &Client,
    attacks: &[Value],
    (kind, judge): (&str, &str),
) -> Result<Vec<Value>> {
    let submission = |attack: &Value| {
        json!({
            "answer": attack["answer"],
            "problem": {
                "kind": kind,
                "references": [attack["reference"]],
                "question": attack["question"],
                "judge": {"model": judge},
            },
        })
    };
    let submissions: Vec<Value> = attacks.iter().map(submission).collect();
    let reply = client.post("/v1/judge", &json!({"submissions": submissions})).await?.ok_json()?;
    let results = reply["results"].as_array().context("no results")?.clone();
    ensure!(results.len() == attacks.len(), "{} results", results.len());
    Ok(results)
}

fn print(kind: &str, families: &[(String, Count)]) {
    let head = [kind, "attacks", "rule", "guard", "judged", "obedient pays", "yes-sayer pays"];
    let mut table = Table::new(&head);
    let (mut all, mut guards) = ([0; 6], BTreeMap::<&str, usize>::new());
    for (family, count) in families {
        let by_guard: usize = count.by_guard.values().sum();
        let [obedient, always] = count.rewarded;
        let row = [count.attacks, count.by_rule, by_guard, count.judged, obedient, always];
        for (sum, value) in all.iter_mut().zip(row) {
            *sum += value;
        }
        for (guard, count) in &count.by_guard {
            *guards.entry(guard).or_default() += count;
        }
        table.row(std::iter::once(family.clone()).chain(row.map(|value| value.to_string())));
    }
    table.row(std::iter::once("all".to_owned()).chain(all.map(|value| value.to_string())));
    print!("{table}");
    let guards: Vec<String> =
        guards.into_iter().map(|(guard, count)| format!("{guard} {count}")).collect();
    println!("by guard: {}", guards.join(", "));
}
