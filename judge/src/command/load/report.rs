//! What a run comes to, for programs (JSON) and for a terminal.

use std::collections::BTreeMap;

use serde::Serialize;

use super::drive::{Ended, Pace};
use super::histogram::Histogram;
use super::record::{Ends, FaultCount, Refusals, State, Wrong};
use super::watch::{CpuUsed, Sample, Samples};
use crate::command::table::Table;

/// A finished run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) version: &'static str,
    pub(super) target: String,
    pub(super) wire: String,
    pub(super) mix: String,
    pub(super) description: String,
    pub(super) batch: usize,
    pub(super) pace: PaceReport,
    pub(super) interrupted: bool,
    pub(super) begun_unix_seconds: u64,
    pub(super) seconds: f64,
    pub(super) submissions: Ends,
    pub(super) lost: u64,
    /// Submissions with an answer, each second.
    pub(super) per_second: f64,
    pub(super) requests: u64,
    /// From the moment at which a request was due until its answer.
    pub(super) latency_ms: Times,
    /// From the sending that was answered until the answer.
    pub(super) service_ms: Times,
    pub(super) answers: BTreeMap<String, u64>,
    /// Verdicts that were known from an equal submission.
    pub(super) known: u64,
    pub(super) refusals: Refusals,
    pub(super) faults: BTreeMap<String, FaultCount>,
    pub(super) items: Vec<ItemReport>,
    pub(super) wrong: Vec<Wrong>,
    /// Of the machine: meaningful where service and load run on one that does nothing else.
    pub(super) cpu: Option<CpuReport>,
    pub(super) memory: Option<MemoryReport>,
    pub(super) curve_seconds: u64,
    pub(super) curve: Vec<PointReport>,
    pub(super) samples: Vec<Sample>,
}

/// How fast work was sent.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum PaceReport {
    /// So many requests at the same time.
    Closed {
        /// How many.
        concurrency: usize,
    },
    /// So many submissions a second.
    Open {
        /// How many.
        per_second: f64,
        /// What the service sustained before, where the rate is a multiple of it.
        sustainable_per_second: Option<f64>,
    },
}

/// Quantiles.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Times {
    pub(super) mean: f64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

impl From<&Histogram> for Times {
    fn from(histogram: &Histogram) -> Self {
        Self {
            mean: histogram.mean_ms(),
            p50: histogram.quantile_ms(500),
            p90: histogram.quantile_ms(900),
            p99: histogram.quantile_ms(990),
            p999: histogram.quantile_ms(999),
            max: histogram.max_ms(),
        }
    }
}

/// One item of the mix.
#[derive(Debug, Serialize)]
pub(super) struct ItemReport {
    pub(super) name: String,
    pub(super) hostile: bool,
    pub(super) right: u64,
    pub(super) wrong: u64,
    pub(super) invalid: u64,
    pub(super) latency_ms: Times,
}

/// Processor time.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct CpuReport {
    /// Of everything but this program, for each answered submission.
    pub(super) ms_per_submission: f64,
    /// Of compilers and programs alone, as the service measured it; 0 where it does not say.
    pub(super) programs_ms_per_submission: f64,
    #[serde(flatten)]
    pub(super) used: CpuUsed,
}

/// Memory of the service.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct MemoryReport {
    /// Median of the second tenth of the run.
    pub(super) early_bytes: u64,
    /// Median of the last tenth.
    pub(super) late_bytes: u64,
    pub(super) growth: f64,
}

/// One point of the curve.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct PointReport {
    pub(super) second: u64,
    pub(super) per_second: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) wrong: u64,
    pub(super) refused_per_second: f64,
    pub(super) faults_per_second: f64,
}

/// What a report is made from.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) load: &'a super::drive::Load,
    pub(super) wire: String,
    pub(super) pace: Pace,
    pub(super) sustainable_per_second: Option<f64>,
    pub(super) ended: Ended,
    pub(super) begun_unix_seconds: u64,
    pub(super) seconds: f64,
    pub(super) cpu: Option<CpuUsed>,
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn share(part: u64, whole: f64) -> f64 {
    if whole > 0.0 { part as f64 / whole } else { 0.0 }
}

impl Report {
    /// The report of a run.
    pub(super) fn new(facts: &Facts<'_>, state: &State, samples: &Samples) -> Self {
        let ends = state.ends;
        let answered = ends.right + ends.wrong + ends.invalid;
        let items = facts.load.mix.items.iter().zip(&state.items);
        let items = items.map(|(item, count)| ItemReport {
            name: item.name.clone(),
            hostile: item.hostile,
            right: count.right,
            wrong: count.wrong,
            invalid: count.invalid,
            latency_ms: Times::from(&count.latency),
        });
        let cpu = facts.cpu.filter(|_| answered > 0).map(|used| CpuReport {
            ms_per_submission: 1000.0 * used.others_seconds / share(answered, 1.0),
            programs_ms_per_submission: state.programs_cpu_ms / share(answered, 1.0),
            used,
        });
        let memory = samples.memory_growth().map(|(early_bytes, late_bytes)| MemoryReport {
            early_bytes,
            late_bytes,
            growth: share(late_bytes, share(early_bytes, 1.0)),
        });
        Self {
            version: env!("CARGO_PKG_VERSION"),
            target: facts.load.client.base().to_owned(),
            wire: facts.wire.clone(),
            mix: facts.load.mix.name.clone(),
            description: facts.load.mix.description.clone(),
            batch: facts.load.batch,
            pace: match facts.pace {
                Pace::Closed(concurrency) => PaceReport::Closed { concurrency },
                Pace::Open(per_second) => PaceReport::Open {
                    per_second,
                    sustainable_per_second: facts.sustainable_per_second,
                },
            },
            interrupted: facts.ended == Ended::Interrupted,
            begun_unix_seconds: facts.begun_unix_seconds,
            seconds: facts.seconds,
            submissions: ends,
            lost: ends.lost(),
            per_second: share(answered, facts.seconds),
            requests: state.requests,
            latency_ms: Times::from(&state.latency),
            service_ms: Times::from(&state.service),
            answers: state.answers.clone(),
            known: state.known,
            refusals: state.refusals,
            faults: state.faults.clone(),
            items: items.collect(),
            wrong: state.wrong.clone(),
            cpu,
            memory,
            curve_seconds: state.curve.width,
            curve: curve(state),
            samples: samples.all.clone(),
        }
    }

    /// The report for a terminal.
    pub(super) fn text(&self) -> String {
        let ends = &self.submissions;
        let mut text = format!(
            "{} {} of {} ({}){}\n\n",
            match self.pace {
                PaceReport::Closed { concurrency } => format!("{concurrency} at a time,"),
                PaceReport::Open { per_second, .. } => format!("{per_second:.0} a second,"),
            },
            self.mix,
            self.target,
            self.wire,
            if self.interrupted { ", interrupted" } else { "" },
        );
        let mut table = Table::new(["submissions", ""]);
        let mut row = |name: &str, value: String| table.push([name.to_owned(), value]);
        row("answered rightly", ends.right.to_string());
        row("answered wrongly", ends.wrong.to_string());
        row("not judged", ends.invalid.to_string());
        row("given up", ends.given_up.to_string());
        row("cancelled", ends.cancelled.to_string());
        row("lost", self.lost.to_string());
        row("known before", self.known.to_string());
        row("a second", format!("{:.1} over {:.1} s", self.per_second, self.seconds));
        let times = |times: &Times| {
            format!(
                "p50 {:.2}  p90 {:.2}  p99 {:.2}  max {:.2} ms",
                times.p50, times.p90, times.p99, times.max
            )
        };
        row("latency since due", times(&self.latency_ms));
        row("latency since sent", times(&self.service_ms));
        if let Some(cpu) = &self.cpu {
            let own = cpu.used.own_seconds;
            let (each, programs) = (cpu.ms_per_submission, cpu.programs_ms_per_submission);
            let each = format!("{each:.2} ms each, {programs:.2} of them in programs");
            row("processor time", format!("{each}; {own:.1} s of this program beside"));
        }
        if let Some(memory) = &self.memory {
            let mib = |bytes: u64| bytes >> 20;
            let (early, late) = (mib(memory.early_bytes), mib(memory.late_bytes));
            row("memory of the service", format!("{early} MiB early, {late} MiB late"));
        }
        if self.refusals.count > 0 {
            let Refusals { count, then_accepted, then_refused, .. } = self.refusals;
            row("429", format!("{count}; came back: {then_accepted} let in, {then_refused} not"));
        }
        for (class, count) in self.faults.iter().filter(|(class, _)| *class != "status_429") {
            row(class, format!("{} ({:.100})", count.count, count.last));
        }
        text.push_str(&table.to_string());
        for wrong in self.wrong.iter().take(10) {
            let expected = wrong.expected.join(" or ");
            text.push_str(&format!(
                "\nwrong: {:?} ({}): {} where {expected} is right",
                wrong.item, wrong.text, wrong.answer
            ));
        }
        text.trim_end().to_owned() + "\n"
    }
}

fn curve(state: &State) -> Vec<PointReport> {
    let width = state.curve.width;
    let seconds = share(width, 1.0);
    let point = |(at, point): (usize, &super::record::Point)| PointReport {
        second: at as u64 * width,
        per_second: share(point.answered, seconds),
        p50_ms: point.latency.quantile_ms(500),
        p99_ms: point.latency.quantile_ms(990),
        wrong: point.wrong,
        refused_per_second: share(point.refused, seconds),
        faults_per_second: share(point.faults, seconds),
    };
    state.curve.points.iter().enumerate().map(point).collect()
}
