//! How work travels, and how an answer is read: the wire of this service, and those of peers.
//!
//! A peer only runs programs; whether what it wrote is right is compared here, token by token. What
//! it says beside "accepted" differs from peer to peer, so that anything else counts as rejected.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use clap::ValueEnum;
use protocol::Verdict;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, Fault};
use super::mix::{Item, Mix, Template};

/// Stands where the name of a compiled program is put.
const ARTIFACT: &str = "ASSAY-LOAD-ARTIFACT";

/// Another service that runs programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Peer {
    /// bytedance/SandboxFusion: `POST /run_code` for each test
    SandboxFusion,
    /// criyle/go-judge: `POST /run` with all tests, compiled programs by `copyOutCached`
    GoJudge,
    /// engineer-man/piston: `POST /api/v2/execute` for each test
    Piston,
}

/// The name of a wire, as the command line has it.
pub(super) fn name(peer: Option<Peer>) -> String {
    let name = peer.and_then(|peer| Some(peer.to_possible_value()?.get_name().to_owned()));
    name.unwrap_or_else(|| "assay".to_owned())
}

/// A submission to be sent.
#[derive(Clone, Debug)]
pub(super) struct Work {
    /// Which item of the mix.
    pub(super) item: usize,
    /// What makes its text its own.
    pub(super) text: String,
    /// Its own id, whatever its text: requests that are equal stand for each other where places are
    /// kept for those who come back.
    pub(super) id: String,
}

/// Stands where a submission's id is put.
const ID: &str = "ASSAY-LOAD-ID";

/// What a service says of a submission.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// Its verdict.
    Verdict(Verdict, Judging),
    /// It is not right, says a peer.
    Rejected,
    /// The service failed at it.
    Invalid(String),
}

/// What a verdict took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Judging {
    /// Nothing: it was known before.
    pub(super) known: bool,
    /// Processor time of compiler and programs, as the service measured it.
    pub(super) cpu_ms: f64,
}

impl Answer {
    /// Whether it is what the item expects.
    pub(super) fn is_right(&self, item: &Item) -> bool {
        match self {
            Self::Verdict(verdict, _) => item.is_right(*verdict),
            Self::Rejected => item.expect.iter().any(|verdict| *verdict != Verdict::Accepted),
            Self::Invalid(_) => false,
        }
    }

    /// Its name in reports.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Verdict(verdict, _) => super::super::judge::verdict_name(Some(*verdict)).into(),
            Self::Rejected => "rejected".to_owned(),
            Self::Invalid(class) => format!("invalid_{class}"),
        }
    }
}

/// The requests of every item, ready to be filled in.
#[derive(Debug)]
pub(super) enum Wire {
    /// This service: one request for all submissions of a batch.
    Assay(Vec<Template>),
    /// A peer.
    Peer(Peer, Vec<Prepared>),
}

/// The requests for one submission at a peer.
#[derive(Debug)]
pub(super) struct Prepared {
    compile: Option<Template>,
    runs: Vec<Template>,
    stdouts: Vec<String>,
}

impl Wire {
    /// The requests of `mix`.
    pub(super) fn new(mix: &Mix, peer: Option<Peer>, batch: usize) -> anyhow::Result<Self> {
        let Some(peer) = peer else {
            let items = mix.items.iter().map(|item| {
                let mut submission = item.submission.clone();
                submission.id.get_or_insert_with(|| ID.to_owned());
                anyhow::Ok(Template::of(&serde_json::to_value(&submission)?))
            });
            return Ok(Self::Assay(items.collect::<Result<_, _>>()?));
        };
        ensure!(batch == 1, "a peer takes no batches; use --batch 1");
        let items = mix.items.iter().map(|item| {
            let (language, source, cases) = item.program().with_context(|| {
                format!(
                    "{:?}: a peer takes only programs with tests of input and output",
                    item.name
                )
            })?;
            let stdins: Vec<&str> = cases.iter().map(|(stdin, _)| *stdin).collect();
            let (compile, runs) = match peer {
                Peer::SandboxFusion => (None, sandbox_fusion(language, source, &stdins)),
                Peer::Piston => (None, piston(language, source, &stdins)),
                Peer::GoJudge => go_judge(language, source, &stdins)?,
            };
            let stdouts = cases.iter().map(|(_, stdout)| (*stdout).to_owned()).collect();
            let templates = runs.iter().map(Template::of).collect();
            let compile = compile.as_ref().map(Template::of);
            Ok(Prepared { compile, runs: templates, stdouts })
        });
        Ok(Self::Peer(peer, items.collect::<anyhow::Result<_>>()?))
    }

    /// Sends `batch` once; an answer for each, in order.
    pub(super) async fn send(&self, client: &Client, batch: &[Work]) -> Result<Vec<Answer>, Fault> {
        match self {
            Self::Assay(items) => {
                let mut body = String::from("{\"submissions\":[");
                for (at, work) in batch.iter().enumerate() {
                    if at > 0 {
                        body.push(',');
                    }
                    let mut submission = String::new();
                    items[work.item].render(&work.text, &mut submission);
                    body.push_str(&submission.replacen(ID, &work.id, 1));
                }
                body.push_str("]}");
                read(&client.post("/v1/judge", body).await?, batch.len())
            }
            Self::Peer(peer, items) => {
                let mut answers = Vec::with_capacity(batch.len());
                for work in batch {
                    answers.push(ask(*peer, client, &items[work.item], &work.text).await?);
                }
                Ok(answers)
            }
        }
    }
}

/// What a peer says of a right program; of its processor time it says nothing.
const ACCEPTED: Answer = Answer::Verdict(Verdict::Accepted, Judging { known: false, cpu_ms: 0.0 });

/// What is read of a reply of this service.
#[derive(Deserialize)]
struct Response {
    results: Vec<Judged>,
}

#[derive(Deserialize)]
struct Judged {
    index: usize,
    verdict: Option<Verdict>,
    #[serde(default)]
    cached: bool,
    failure: Option<Failed>,
    #[serde(default)]
    tests: Vec<Used>,
    compile: Option<Used>,
}

#[derive(Deserialize)]
struct Used {
    cpu_time_ms: f64,
}

#[derive(Deserialize)]
struct Failed {
    class: String,
}

fn read(body: &[u8], count: usize) -> Result<Vec<Answer>, Fault> {
    let malformed = |error: String| Fault::Malformed(error);
    let response: Response =
        serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?;
    let mut answers: Vec<Option<Answer>> = vec![None; count];
    for result in response.results {
        let answer = match (result.verdict, result.failure) {
            (Some(verdict), None) => {
                let used = result.tests.iter().chain(&result.compile).map(|it| it.cpu_time_ms);
                let cpu_ms = if result.cached { 0.0 } else { used.sum() };
                Answer::Verdict(verdict, Judging { known: result.cached, cpu_ms })
            }
            (_, Some(failure)) => Answer::Invalid(failure.class),
            (None, None) => return Err(malformed("neither verdict nor failure".to_owned())),
        };
        let place = answers.get_mut(result.index).filter(|place| place.is_none());
        *place.ok_or_else(|| malformed(format!("result {} too many", result.index)))? =
            Some(answer);
    }
    let missing = || malformed("a submission has no result".to_owned());
    answers.into_iter().collect::<Option<_>>().ok_or_else(missing)
}

/// Asks a peer about one submission.
async fn ask(peer: Peer, client: &Client, item: &Prepared, text: &str) -> Result<Answer, Fault> {
    let fill = |template: &Template| {
        let mut body = String::new();
        template.render(text, &mut body);
        body
    };
    let mut artifact = String::new();
    if let Some(compile) = &item.compile {
        let reply = parse(&client.post("/run", fill(compile)).await?)?;
        if reply[0]["status"] != "Accepted" {
            return Ok(Answer::Rejected);
        }
        artifact = reply[0]["fileIds"]["a"].as_str().unwrap_or_default().to_owned();
    }
    let mut answer = ACCEPTED;
    for (run, stdouts) in item.runs.iter().zip(expected(peer, &item.stdouts)) {
        let body = fill(run).replace(ARTIFACT, &artifact);
        let reply = client.post(path(peer), body).await?;
        answer = judged(peer, &parse(&reply)?, stdouts);
        if answer != ACCEPTED {
            break;
        }
    }
    if !artifact.is_empty() {
        client.delete(&format!("/file/{artifact}")).await?;
    }
    Ok(answer)
}

fn parse(body: &Bytes) -> Result<Value, Fault> {
    serde_json::from_slice(body).map_err(|error| Fault::Malformed(error.to_string()))
}

fn path(peer: Peer) -> &'static str {
    match peer {
        Peer::SandboxFusion => "/run_code",
        Peer::GoJudge => "/run",
        Peer::Piston => "/api/v2/execute",
    }
}

/// Which outputs each request is about: go-judge takes all tests at once.
fn expected(peer: Peer, stdouts: &[String]) -> Vec<&[String]> {
    match peer {
        Peer::GoJudge => vec![stdouts],
        Peer::SandboxFusion | Peer::Piston => stdouts.chunks(1).collect(),
    }
}

fn judged(peer: Peer, reply: &Value, stdouts: &[String]) -> Answer {
    let same = |text: &Value, stdout: &String| {
        text.as_str().is_some_and(|text| text.split_whitespace().eq(stdout.split_whitespace()))
    };
    let right = match peer {
        Peer::SandboxFusion if reply["status"] == "SandboxError" => {
            return Answer::Invalid("sandbox_error".to_owned());
        }
        Peer::SandboxFusion => {
            reply["status"] == "Success" && same(&reply["run_result"]["stdout"], &stdouts[0])
        }
        Peer::Piston => reply["run"]["code"] == 0 && same(&reply["run"]["stdout"], &stdouts[0]),
        Peer::GoJudge => {
            let failed = |result: &Value| result["status"] == "Internal Error";
            let results = reply.as_array().map(Vec::as_slice).unwrap_or_default();
            if results.iter().any(failed) {
                return Answer::Invalid("internal_error".to_owned());
            }
            results.len() == stdouts.len()
                && results.iter().zip(stdouts).all(|(result, stdout)| {
                    result["status"] == "Accepted" && same(&result["files"]["stdout"], stdout)
                })
        }
    };
    if right { ACCEPTED } else { Answer::Rejected }
}

fn sandbox_fusion(language: &str, source: &str, stdins: &[&str]) -> Vec<Value> {
    let language = if language == "javascript" { "nodejs" } else { language };
    let request = |stdin: &&str| {
        json!({"language": language, "code": source, "stdin": stdin,
               "compile_timeout": 10, "run_timeout": 10})
    };
    stdins.iter().map(request).collect()
}

fn piston(language: &str, source: &str, stdins: &[&str]) -> Vec<Value> {
    let request = |stdin: &&str| {
        json!({"language": language, "version": "*", "stdin": stdin,
               "files": [{"name": source_name(language), "content": source}]})
    };
    stdins.iter().map(request).collect()
}

fn source_name(language: &str) -> String {
    let extension = match language {
        "python" => "py",
        "javascript" => "js",
        "bash" => "sh",
        other => other,
    };
    format!("main.{extension}")
}

/// What go-judge runs: a compilation, perhaps, and one command for each test.
fn go_judge(
    language: &str,
    source: &str,
    stdins: &[&str],
) -> anyhow::Result<(Option<Value>, Vec<Value>)> {
    let name = source_name(language);
    let compiler = match language {
        "c" => Some("/usr/bin/gcc"),
        "cpp" => Some("/usr/bin/g++"),
        _ => None,
    };
    let argv = match language {
        "c" | "cpp" => vec!["a"],
        "python" => vec!["/usr/bin/python3", &name],
        "bash" => vec!["/bin/bash", &name],
        "javascript" => vec!["/usr/bin/node", &name],
        _ => anyhow::bail!("how go-judge runs {language} is not known here"),
    };
    let command = |argv: Value, stdin: &str, copy_in: Value| {
        json!({
            "args": argv, "env": ["PATH=/usr/bin:/bin"],
            "files": [{"content": stdin}, {"name": "stdout", "max": 65536},
                      {"name": "stderr", "max": 65536}],
            "cpuLimit": 10_000_000_000_u64, "clockLimit": 20_000_000_000_u64,
            "memoryLimit": 536_870_912, "procLimit": 64, "copyIn": copy_in,
        })
    };
    let compile = compiler.map(|compiler| {
        let argv = json!([compiler, "-O2", "-o", "a", &name]);
        let mut compile = command(argv, "", json!({&name: {"content": source}}));
        compile["copyOutCached"] = json!(["a"]);
        json!({"cmd": [compile]})
    });
    let copy_in = match compiler {
        Some(_) => json!({"a": {"fileId": ARTIFACT}}),
        None => json!({&name: {"content": source}}),
    };
    let commands: Vec<Value> = stdins
        .iter()
        .map(|stdin| {
            let mut command = command(json!(argv), stdin, copy_in.clone());
            command["copyOut"] = json!(["stdout"]);
            command
        })
        .collect();
    Ok((compile, vec![json!({"cmd": commands})]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_put_in_order_and_none_may_be_missing() {
        let read = |text: &str, count| read(text.as_bytes(), count);
        let both = r#"{"results":[{"index":1,"verdict":"wrong_answer","cached":true},
            {"index":0,"verdict":null,"failure":{"class":"infrastructure"}}]}"#;
        let answers = read(both, 2).unwrap();
        assert_eq!(answers[0], Answer::Invalid("infrastructure".into()));
        let known = Judging { known: true, cpu_ms: 0.0 };
        assert_eq!(answers[1], Answer::Verdict(Verdict::WrongAnswer, known));
        assert!(read(both, 3).is_err());
        assert!(read(both, 1).is_err());
        assert!(read(r#"{"results":[{"index":0}]}"#, 1).is_err());
        let twice =
            r#"{"results":[{"index":0,"verdict":"accepted"},{"index":0,"verdict":"accepted"}]}"#;
        assert!(read(twice, 2).is_err());
    }

    #[test]
    fn a_peer_is_right_only_where_its_output_is() {
        let stdouts = ["3\n".to_owned()];
        let fusion = |status: &str, stdout: &str| {
            let reply = json!({"status": status, "run_result": {"stdout": stdout}});
            judged(Peer::SandboxFusion, &reply, &stdouts)
        };
        assert_eq!(fusion("Success", " 3 "), ACCEPTED);
        assert_eq!(fusion("Success", "4"), Answer::Rejected);
        assert_eq!(fusion("Failed", "3"), Answer::Rejected);
        assert_eq!(fusion("SandboxError", "3"), Answer::Invalid("sandbox_error".into()));
        let piston = |code: i32| {
            judged(Peer::Piston, &json!({"run": {"code": code, "stdout": "3"}}), &stdouts)
        };
        assert_eq!(piston(0), ACCEPTED);
        assert_eq!(piston(1), Answer::Rejected);
        let go = |results: Value| judged(Peer::GoJudge, &results, &stdouts);
        assert_eq!(go(json!([{"status": "Accepted", "files": {"stdout": "3"}}])), ACCEPTED);
        assert_eq!(go(json!([{"status": "Signalled"}])), Answer::Rejected);
        assert_eq!(go(json!([])), Answer::Rejected);
        assert!(matches!(go(json!([{"status": "Internal Error"}])), Answer::Invalid(_)));
    }

    #[test]
    fn each_peer_gets_requests_for_every_test() {
        let mix = Mix::find("cpp-10").unwrap();
        for (peer, requests, compiles) in
            [(Peer::SandboxFusion, 10, false), (Peer::Piston, 10, false), (Peer::GoJudge, 1, true)]
        {
            let Wire::Peer(_, items) = Wire::new(&mix, Some(peer), 1).unwrap() else {
                panic!("no peer");
            };
            assert_eq!(items[0].runs.len(), requests);
            assert_eq!(expected(peer, &items[0].stdouts).len(), requests);
            assert_eq!(items[0].compile.is_some(), compiles);
        }
        let soak = Wire::new(&Mix::find("soak").unwrap(), Some(Peer::Piston), 1);
        assert!(soak.is_err());
    }
}
