//! Reward models: chain-of-thought judges and value heads behind servers of others.
//!
//! Only what no rule decides comes here. [`guard`] says what is wrong without asking; [`neutral`]
//! and [`prompt`] make what is asked; [`judge`] asks, [`reply`] reads, [`vote`](mod@vote) counts;
//! [`cache`] keeps; [`calls`] bounds how a server is called, with [`breaker`], [`bucket`] and
//! [`transport`]; [`canary`] finds out whether a judge can be trusted; [`replay`] keeps what it
//! said. [`value_head`] gives numbers that [`calibration`] makes probabilities.
//!
//! A judge that fails is a failure of ours: no verdict and no reward, never a 0.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::JudgeResult;
use tokio::task::AbortHandle;

pub mod breaker;
pub mod bucket;
pub mod cache;
pub mod calibration;
pub mod calls;
pub mod canary;
pub mod config;
pub mod guard;
pub mod judge;
pub mod metrics;
pub mod neutral;
pub mod prompt;
pub mod replay;
pub mod reply;
pub mod transport;
pub mod value_head;
pub mod vote;

use calls::CallsFault;
use config::{JudgeConfig, ValueHeadConfig};
use guard::{Case, Form, Guard};
use judge::{Judge, JudgeFault, Rules};
use metrics::Metrics;
use prompt::Question;
use value_head::ValueHead;

use crate::problem::answer::Ballot;
use crate::task::RewardModelNames;

/// All reward models of the configuration.
#[derive(Debug, Default)]
pub struct RewardModels {
    judges: BTreeMap<String, Arc<Judge>>,
    value_heads: BTreeMap<String, ValueHead>,
    names: RewardModelNames,
    metrics: Option<Metrics>,
    canaries: Vec<AbortHandle>,
}

/// What becomes of an answer that no rule decides.
#[derive(Clone, Debug, PartialEq)]
pub enum Ruling {
    /// It is wrong, without asking.
    Guarded(Guard),
    /// A judge gave its verdict.
    Judged {
        /// Whether the answer is right.
        right: bool,
        /// What goes into the reply.
        result: JudgeResult,
    },
}

impl RewardModels {
    /// The reward models of a configuration; canaries start in the background.
    ///
    /// # Errors
    /// One of them cannot be set up.
    pub fn start(
        judges: &[JudgeConfig],
        value_heads: &[ValueHeadConfig],
        registry: &prometheus::Registry,
    ) -> Result<Self, String> {
        if judges.is_empty() && value_heads.is_empty() {
            return Ok(Self::default());
        }
        let metrics = Metrics::new(registry).map_err(|error| error.to_string())?;
        let mut models = Self::default();
        models.metrics = Some(metrics.clone());
        for config in judges {
            let named = |error| format!("judge {}: {error}", config.name);
            let judge = Arc::new(Judge::new(config.clone(), metrics.clone()).map_err(named)?);
            metrics.breaker(&config.name, judge.calls().state());
            if config.canaries.interval_s > 0 {
                models.canaries.push(watch(Arc::clone(&judge), metrics.clone()));
            }
            models.names.judges.push(config.name.clone());
            models.judges.insert(config.name.clone(), judge);
        }
        for config in value_heads {
            let named = |error| format!("value head {}: {error}", config.name);
            let head = ValueHead::new(config.clone(), metrics.clone()).map_err(named)?;
            models.names.value_heads.push(config.name.clone());
            models.value_heads.insert(config.name.clone(), head);
        }
        Ok(models)
    }

    /// What requests may name.
    #[must_use]
    pub fn names(&self) -> &RewardModelNames {
        &self.names
    }

    /// Rules on an answer: guards first, then the judge.
    ///
    /// # Errors
    /// The judge gave no verdict.
    pub async fn rule(
        &self,
        question: &Question,
        form: Form,
        ballot: &Ballot,
    ) -> Result<Ruling, JudgeFault> {
        // Names were checked against the same configuration when the request was read.
        let Some(judge) = self.judges.get(&ballot.model) else {
            return Err(CallsFault::Open.into());
        };
        let chars_max = match form {
            Form::Value => judge.config.answer_chars_max,
            Form::Prose => judge.config.free_form_chars_max,
        };
        let case = Case {
            question: &question.question,
            references: &question.references,
            answer: &question.answer,
            chars_max,
            form,
        };
        if let Some(guard) = guard::check(&case) {
            if let Some(metrics) = &self.metrics {
                metrics.guarded(guard);
            }
            return Ok(Ruling::Guarded(guard));
        }
        let rules = Rules {
            votes: ballot.votes.unwrap_or(judge.config.votes),
            mode: ballot.mode.unwrap_or(judge.config.mode),
        };
        let (verdict, from) = judge.verdict(question, rules).await?;
        let known = from == cache::From::Known;
        let result = JudgeResult {
            model: judge.config.name.clone(),
            template: question.template.name.to_owned(),
            score: verdict.score,
            votes: verdict.votes.clone(),
            cached: known,
            prompt_tokens: if known { 0 } else { verdict.prompt_tokens },
            completion_tokens: if known { 0 } else { verdict.completion_tokens },
            cost: if known { 0.0 } else { verdict.cost },
        };
        Ok(Ruling::Judged { right: verdict.right, result })
    }

    /// The calibrated score of a value head.
    ///
    /// # Errors
    /// There is none.
    pub async fn score(
        &self,
        name: &str,
        subject: value_head::Subject<'_>,
    ) -> Result<f64, CallsFault> {
        match self.value_heads.get(name) {
            Some(head) => head.score(subject).await,
            None => Err(CallsFault::Open),
        }
    }

    /// The calibrated score that a value head gives a text as it is.
    ///
    /// # Errors
    /// There is none.
    pub async fn score_text(&self, name: &str, text: &str) -> Result<f64, CallsFault> {
        match self.value_heads.get(name) {
            Some(head) => head.score_text(text).await,
            None => Err(CallsFault::Open),
        }
    }
}

impl Drop for RewardModels {
    fn drop(&mut self) {
        for canary in &self.canaries {
            canary.abort();
        }
    }
}

/// Tries a judge on known answers, now and then.
fn watch(judge: Arc<Judge>, metrics: Metrics) -> AbortHandle {
    let interval = Duration::from_secs(judge.config.canaries.interval_s);
    let watching = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for round in 0.. {
            ticks.tick().await;
            canary::run(&judge, &metrics, round).await;
        }
    });
    watching.abort_handle()
}

/// A word of 128 bits that nobody can guess.
pub(crate) fn random_word() -> String {
    let mut bytes = [0; 16];
    // Without randomness the word is guessable, and the mark no barrier; the guards and the
    // neutralised text still are.
    if getrandom::fill(&mut bytes).is_err() {
        tracing::error!("no random bytes: marks around untrusted text can be guessed");
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A random number from 0 to 1, for spreading retries.
pub(crate) fn random_share() -> f64 {
    let mut bytes = [0; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}
