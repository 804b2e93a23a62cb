//! A chain-of-thought judge: a question becomes votes, votes become a verdict.
//!
//! What it says is never guessed: a reply that is no vote is asked for again with another seed and
//! a higher temperature, twice; after that there is no verdict. Half of the votes see the two
//! answers in the other order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use protocol::{JudgeVote, JudgeVoteVerdict, VoteMode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::cache::{Cache, From, Key};
use super::calls::{Calls, CallsFault, Purpose};
use super::config::{JudgeConfig, Structured};
use super::metrics::Metrics;
use super::prompt::{Order, Question};
use super::replay::{Entry, ReplayLog};
use super::reply::{self, ReplyFault};
use super::transport::{CallFault, Transport};
use super::vote::{self, Count};
use crate::limits::JUDGE_REASKS_MAX;

/// What a judge says.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Whether the answer is right.
    pub right: bool,
    /// How sure it is, from 0 to 1.
    pub score: f64,
    /// Its votes.
    pub votes: Vec<JudgeVote>,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Tokens of replies.
    pub completion_tokens: u64,
    /// What it cost.
    pub cost: f64,
}

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JudgeFault {
    /// There is no reply.
    #[error(transparent)]
    Calls(#[from] CallsFault),
    /// No reply is a vote.
    #[error(transparent)]
    Reply(#[from] ReplyFault),
}

/// How a verdict is voted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Votes at most.
    pub votes: u32,
    /// How they make a verdict.
    pub mode: VoteMode,
}

/// A judge.
#[derive(Debug)]
pub struct Judge {
    /// How it is set up.
    pub config: JudgeConfig,
    calls: Calls,
    cache: Cache<Arc<Verdict>>,
    replay: Option<ReplayLog>,
    metrics: Metrics,
    /// Whether the server said that it knows no schema.
    schema_refused: AtomicBool,
}

/// One reply, as far as it matters.
#[derive(Debug, Default)]
struct Reply {
    text: String,
    finish: Option<String>,
    probability: Option<f64>,
    prompt_tokens: u64,
    completion_tokens: u64,
}

/// What all votes took.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    prompt: u64,
    completion: u64,
}

impl Judge {
    /// A judge as `config` says.
    ///
    /// # Errors
    /// The key is not set, or the replay log cannot be opened.
    pub fn new(config: JudgeConfig, metrics: Metrics) -> Result<Self, String> {
        let url = format!("{}/chat/completions", config.url.trim_end_matches('/'));
        let transport = Transport::new(&url, config.api_key_env.as_deref())?;
        let replay = config.replay_log.as_deref().map(ReplayLog::open).transpose()?;
        Ok(Self {
            calls: Calls::new(&config.name, transport, config.calls.clone(), metrics.clone()),
            cache: Cache::new(config.cache_entries_max),
            replay,
            metrics,
            schema_refused: AtomicBool::new(config.structured == Structured::None),
            config,
        })
    }

    /// Calls to its server.
    #[must_use]
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// The verdict on `question`, and whether it was known.
    ///
    /// # Errors
    /// There is none.
    pub async fn verdict(
        &self,
        question: &Question,
        rules: Rules,
    ) -> Result<(Arc<Verdict>, From), JudgeFault> {
        let deadline = self.calls.deadline();
        let find =
            async || self.vote(question, rules, deadline, Purpose::Verdict).await.map(Arc::new);
        let found = tokio::time::timeout_at(
            deadline.into(),
            self.cache.get(self.key(question, rules), find),
        );
        let (verdict, from) = found.await.map_err(|_| CallsFault::Deadline)??;
        self.metrics.cached(&self.config.name, if from == From::Known { "cache" } else { "votes" });
        self.metrics.judged(&self.config.name, verdict.right, question.answer.chars().count());
        Ok((verdict, from))
    }

    /// Votes on `question`, past the cache.
    ///
    /// # Errors
    /// There is no verdict.
    pub async fn vote(
        &self,
        question: &Question,
        rules: Rules,
        deadline: Instant,
        purpose: Purpose,
    ) -> Result<Verdict, JudgeFault> {
        let mut votes = Vec::new();
        let mut spent = Spent::default();
        let right = loop {
            let verdicts: Vec<JudgeVoteVerdict> =
                votes.iter().map(|vote: &JudgeVote| vote.verdict).collect();
            match vote::count(&verdicts, rules.mode, rules.votes) {
                Count::Right => break true,
                Count::Wrong => break false,
                Count::Open => {}
            }
            let swapped = votes.len() % 2 == 1;
            let index = u32::try_from(votes.len()).unwrap_or(u32::MAX);
            let found = self.one_vote(question, index, (deadline, purpose), &mut spent).await?;
            self.metrics.voted(&self.config.name, found.verdict);
            votes.push(JudgeVote {
                verdict: found.verdict,
                probability: found.probability,
                swapped,
            });
        };
        let scored: Vec<_> = votes.iter().map(|vote| (vote.verdict, vote.probability)).collect();
        let cost = self.cost(spent);
        self.metrics.spent(&self.config.name, spent.prompt, spent.completion, cost);
        Ok(Verdict {
            right,
            score: vote::score(&scored, rules.mode),
            votes,
            prompt_tokens: spent.prompt,
            completion_tokens: spent.completion,
            cost,
        })
    }

    async fn one_vote(
        &self,
        question: &Question,
        index: u32,
        (deadline, purpose): (Instant, Purpose),
        spent: &mut Spent,
    ) -> Result<reply::Vote, JudgeFault> {
        let order = if index % 2 == 1 { Order::CandidateFirst } else { Order::ReferenceFirst };
        let mut fault = ReplyFault::Unparsable;
        for attempt in 0..=JUDGE_REASKS_MAX {
            let seed = index * (JUDGE_REASKS_MAX + 1) + attempt;
            let temperature = (self.config.temperature + 0.3 * f64::from(attempt)).min(2.0);
            let prompt = question.prompt(order, &super::random_word());
            let reply = self.ask(&prompt, seed, temperature, (deadline, purpose)).await?;
            spent.prompt += reply.prompt_tokens;
            spent.completion += reply.completion_tokens;
            let read = reply::read(&reply.text, reply.finish.as_deref(), &question.shown());
            self.record(question, &prompt, (seed, &reply), &read);
            match read {
                Ok(verdict) => return Ok(reply::Vote { verdict, probability: reply.probability }),
                Err(found) => {
                    fault = found;
                    self.metrics.no_vote(&self.config.name, fault_name(found));
                }
            }
        }
        Err(fault.into())
    }

    async fn ask(
        &self,
        prompt: &str,
        seed: u32,
        temperature: f64,
        (deadline, purpose): (Instant, Purpose),
    ) -> Result<Reply, JudgeFault> {
        // About four bytes a token; what it really took is settled afterwards.
        let estimate = prompt.len() / 4 + 256;
        let estimate = f64::from(u32::try_from(estimate).unwrap_or(u32::MAX));
        loop {
            let with_schema = !self.schema_refused.load(Ordering::Relaxed);
            let body = self.body(prompt, seed, temperature, with_schema);
            match self.calls.call(&body, estimate, deadline, purpose).await {
                Ok(reply) => {
                    let reply = read_reply(&reply);
                    let took = reply.prompt_tokens + reply.completion_tokens;
                    let took = f64::from(u32::try_from(took).unwrap_or(u32::MAX));
                    self.calls.settle_tokens(took - estimate);
                    return Ok(reply);
                }
                Err(CallsFault::Call(CallFault::Status { status: 400 | 422, message, .. }))
                    if with_schema
                        && self.config.structured == Structured::Auto
                        && is_about_schema(&message) =>
                {
                    tracing::warn!(
                        judge = self.config.name,
                        "the server knows no JSON schema: the prompt alone asks for the form"
                    );
                    self.schema_refused.store(true, Ordering::Relaxed);
                }
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    fn body(&self, prompt: &str, seed: u32, temperature: f64, with_schema: bool) -> Value {
        let mut body = json!({
            "model": self.config.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": temperature,
            "max_tokens": self.config.reply_tokens_max,
            "seed": seed,
        });
        if with_schema {
            body["response_format"] = json!({
                "type": "json_schema",
                "json_schema": {"name": "verdict", "strict": true, "schema": reply::schema()},
            });
        }
        if self.config.logprobs {
            body["logprobs"] = json!(true);
            body["top_logprobs"] = json!(5);
        }
        body
    }

    fn cost(&self, spent: Spent) -> f64 {
        let millions = |tokens: u64| f64::from(u32::try_from(tokens).unwrap_or(u32::MAX)) / 1e6;
        millions(spent.prompt) * self.config.price.prompt_million
            + millions(spent.completion) * self.config.price.completion_million
    }

    /// The hash of everything that a verdict depends on.
    fn key(&self, question: &Question, rules: Rules) -> Key {
        let parts = json!([
            self.config.name,
            self.config.model,
            question.template.name,
            rules.votes,
            rules.mode,
            self.config.temperature,
            question.question,
            question.references,
            question.shown(),
        ]);
        Sha256::digest(parts.to_string().as_bytes()).into()
    }

    fn record(
        &self,
        question: &Question,
        prompt: &str,
        (seed, reply): (u32, &Reply),
        read: &Result<JudgeVoteVerdict, ReplyFault>,
    ) {
        let Some(replay) = &self.replay else {
            return;
        };
        let entry = Entry {
            judge: &self.config.name,
            model: &self.config.model,
            template: question.template.name,
            prompt_sha256: hex(&Sha256::digest(prompt.as_bytes())),
            question: &question.question,
            references: &question.references,
            answer: &question.answer,
            seed,
            reply: &reply.text,
            verdict: read.as_ref().ok().copied(),
            fault: read.as_ref().err().map(|fault| fault_name(*fault)),
        };
        if let Err(error) = replay.append(&entry) {
            tracing::error!(%error, judge = self.config.name, "the replay log could not be written");
        }
    }
}

fn read_reply(reply: &Value) -> Reply {
    let choice = &reply["choices"][0];
    let usage = |field: &str| reply["usage"][field].as_u64().unwrap_or(0);
    Reply {
        text: choice["message"]["content"].as_str().unwrap_or_default().to_owned(),
        finish: choice["finish_reason"].as_str().map(str::to_owned),
        probability: choice.get("logprobs").and_then(reply::probability),
        prompt_tokens: usage("prompt_tokens"),
        completion_tokens: usage("completion_tokens"),
    }
}

fn is_about_schema(message: &str) -> bool {
    let message = message.to_lowercase();
    ["response_format", "json_schema", "schema", "guided", "grammar", "structured"]
        .iter()
        .any(|word| message.contains(word))
}

fn fault_name(fault: ReplyFault) -> &'static str {
    match fault {
        ReplyFault::Unparsable => "unparsable",
        ReplyFault::Truncated => "truncated",
        ReplyFault::Echo => "echo",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
