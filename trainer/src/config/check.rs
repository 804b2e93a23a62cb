//! What a configuration must be beyond its form: numbers within their bounds, named by their keys.

use super::{AlgorithmName, ConfigError, ModelChoice, RunConfig};
use crate::algorithm::sampling::Strategy;
use crate::limits;
use crate::task::TaskConfig;

/// Of whole numbers: key, value, least, most.
type Count = (&'static str, usize, usize, usize);
/// Of other numbers: key, value, least, most.
type Real = (&'static str, f64, f64, f64);

/// Any number that is not negative, and any that is positive, as far as arithmetic goes.
const ANY: (f64, f64) = (0.0, 1e12);
const POSITIVE: (f64, f64) = (1e-12, 1e12);

pub(super) fn check(config: &RunConfig) -> Result<(), ConfigError> {
    let wrong = |key: &'static str, reason: String| Err(ConfigError::Value { key, reason });
    for (key, value, least, most) in counts(config).into_iter().chain(task_counts(&config.task)) {
        if !(least..=most).contains(&value) {
            return wrong(key, format!("{value} is not within {least} and {most}"));
        }
    }
    for (key, value, least, most) in reals(config).into_iter().chain(task_reals(&config.task)) {
        if !(least..=most).contains(&value) {
            return wrong(key, format!("{value} is not within {least} and {most}"));
        }
    }
    if let Some(Err(reason)) = config.new_model(1, 1).map(|shape| shape.check()) {
        return wrong("model", reason);
    }
    let rollout = &config.rollout;
    let partial = rollout.tokens_per_iteration > 0;
    let strict = config.algorithm.name == AlgorithmName::Reinforce;
    if strict && (rollout.staleness > 0 || partial || config.algorithm.steps > 1) {
        let reason = "reinforce is strictly on-policy: it needs rollout.staleness = 0, \
             no rollout.tokens_per_iteration and algorithm.steps = 1";
        return wrong("algorithm.name", reason.to_owned());
    }
    Ok(())
}

fn counts(config: &RunConfig) -> Vec<Count> {
    let (rollout, lease) = (&config.rollout, limits::LEASE_MS);
    let wide = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let tokens = limits::TRAJECTORY_TOKENS_MAX;
    let staleness = limits::STALENESS_MAX;
    let mut counts = vec![
        ("rollout.groups", rollout.groups, 1, limits::GROUPS_MAX),
        // A group of one has no contrast: its advantage is always 0.
        ("rollout.samples", rollout.samples, 2, limits::GROUP_SAMPLES_MAX),
        ("rollout.tokens_max", rollout.tokens_max, 1, tokens),
        ("rollout.tokens_per_iteration", rollout.tokens_per_iteration, 0, tokens),
        ("rollout.slots", rollout.slots, 1, limits::SLOTS_MAX),
        ("rollout.tables", rollout.tables, 0, limits::TABLES_MAX),
        ("rollout.staleness", wide(rollout.staleness), 0, staleness),
        ("rollout.span_max", wide(rollout.span_max), 0, limits::SPAN_MAX),
        ("rollout.lease_ms", rollout.lease_ms, *lease.start(), *lease.end()),
        ("ranks.silence_ms", config.ranks.silence_ms, *lease.start(), *lease.end()),
        ("algorithm.steps", config.algorithm.steps, 1, rollout.groups),
        ("algorithm.epochs", config.algorithm.epochs, 1, 64),
        ("judge.requests", config.judge.requests, 1, limits::JUDGE_REQUESTS_MAX),
        ("judge.deadline_ms", wide(config.judge.deadline_ms), 1, limits::JUDGE_DEADLINE_MS_MAX),
        ("evaluation.problems", config.evaluation.problems, 1, limits::PROBLEMS_MAX),
        ("checkpoint.keep", config.checkpoint.keep, 1, 1000),
        ("warm_start.batch", config.warm_start.batch, 1, limits::GROUPS_MAX),
    ];
    if let ModelChoice::New { hidden, intermediate, layers, heads, kv_heads, .. } = config.model {
        counts.extend([
            ("model.hidden", hidden, 1, limits::NEW_WIDTH_MAX),
            ("model.intermediate", intermediate, 1, 4 * limits::NEW_WIDTH_MAX),
            ("model.layers", layers, 1, limits::NEW_LAYERS_MAX),
            ("model.heads", heads, 1, hidden),
            ("model.kv_heads", kv_heads, 1, heads),
        ]);
    }
    counts
}

fn task_counts(task: &TaskConfig) -> Vec<Count> {
    let most = limits::PROBLEMS_MAX;
    match *task {
        TaskConfig::NamedOps { levels, problems, .. } => {
            vec![("task.levels", levels, 1, 16), ("task.problems", problems, 20, most)]
        }
        TaskConfig::PythonExpr { .. } => Vec::new(),
        TaskConfig::MathChain { operations, problems, steps_every, kinds, .. } => vec![
            ("task.operations", operations, 2, 256),
            ("task.problems", problems, 20, most),
            ("task.steps_every", steps_every, 0, 256),
            ("task.kinds", kinds, 1, 3),
        ],
    }
}

fn reals(config: &RunConfig) -> Vec<Real> {
    let (rollout, algorithm, optimizer) = (&config.rollout, &config.algorithm, &config.optimizer);
    let share = (0.0, 1.0);
    let mut reals = vec![
        ("rollout.temperature", rollout.temperature, POSITIVE),
        ("rollout.top_p", rollout.top_p, (POSITIVE.0, 1.0)),
        ("rollout.truncation", rollout.truncation, POSITIVE),
        ("algorithm.tau", algorithm.tau, POSITIVE),
        ("algorithm.log_ratio_clip", algorithm.log_ratio_clip, POSITIVE),
        ("algorithm.log_ratio_max", algorithm.log_ratio_max, POSITIVE),
        ("algorithm.length_weight", algorithm.length_weight, ANY),
        ("algorithm.format_penalty", algorithm.format_penalty, ANY),
        ("algorithm.gamma", algorithm.gamma, share),
        ("algorithm.threshold", algorithm.threshold, (-ANY.1, ANY.1)),
        ("optimizer.learning_rate", optimizer.learning_rate, POSITIVE),
        ("optimizer.beta1", optimizer.beta1, (0.0, 1.0 - 1e-9)),
        ("optimizer.beta2", optimizer.beta2, (0.0, 1.0 - 1e-9)),
        ("optimizer.epsilon", optimizer.epsilon, (1e-30, 1.0)),
        ("optimizer.weight_decay", optimizer.weight_decay, ANY),
        ("optimizer.gradient_norm_max", optimizer.gradient_norm_max, POSITIVE),
        ("warm_start.learning_rate", config.warm_start.learning_rate, POSITIVE),
        ("evaluation.stop_at", config.evaluation.stop_at, ANY),
    ];
    match config.problems {
        Strategy::Uniform => {}
        Strategy::Curriculum { difficulty, easy_share, .. } => reals.extend([
            ("problems.difficulty", difficulty, share),
            ("problems.easy_share", easy_share, share),
        ]),
        Strategy::Prioritized { floor } => reals.push(("problems.floor", floor, share)),
    }
    reals.into_iter().map(|(key, value, (least, most))| (key, value, least, most)).collect()
}

fn task_reals(task: &TaskConfig) -> Vec<Real> {
    match *task {
        TaskConfig::NamedOps { author_right, padding, .. } => {
            vec![("task.author_right", author_right, 0.0, 1.0), ("task.padding", padding, 0.0, 1.0)]
        }
        TaskConfig::PythonExpr { author_right } | TaskConfig::MathChain { author_right, .. } => {
            vec![("task.author_right", author_right, 0.0, 1.0)]
        }
    }
}
