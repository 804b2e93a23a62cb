//! Judges the submissions of one request, and hands out each result when it is ready.
//!
//! Fairness: a request has at most as many submissions under way as there are slots. Slots are
//! leased first come, first served, so a submission that arrives beside a batch of thousands waits
//! for no more than the batch has under way, and not for the thousands. Answers need no slot and are
//! counted apart, so that those that wait for a reward model keep no program from running.
//!
//! The work goes on beside the reply, so that a client that reads slowly holds no slot; results
//! wait in a channel with room for all of them. Dropping [`Results`] ends all that still runs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::admission::Ticket;
use crate::limits::ANSWERS_UNDER_WAY_MAX;
use crate::pipeline::Judge;
use crate::report::{FailureKind, JudgeFailure, Report, Retry};
use crate::task::{Task, Work};

/// The results of one request, in the order in which they become ready.
#[derive(Debug)]
pub struct Results {
    receiver: mpsc::Receiver<Report>,
    work: AbortHandle,
    /// The id of each submission that has no result yet, by its position.
    waiting: BTreeMap<usize, Option<String>>,
}

impl Results {
    /// The next result; `None` after the last. Where the work ended without a result for a
    /// submission, which would be a defect of ours, the submission is reported as not judged.
    pub async fn next(&mut self) -> Option<Report> {
        if let Some(report) = self.receiver.recv().await {
            self.waiting.remove(&report.index);
            return Some(report);
        }
        let (index, id) = self.waiting.pop_first()?;
        Some(Report::new(id, index, Err(LOST)))
    }
}

const LOST: JudgeFailure = JudgeFailure {
    class: FailureKind::Infrastructure,
    retry: Retry::Later,
    message: Cow::Borrowed("the service failed before the submission was judged"),
};

impl Drop for Results {
    fn drop(&mut self) {
        self.work.abort();
    }
}

/// Starts judging `tasks`. The ticket makes room as they are answered.
#[must_use]
pub fn judge(judge: Judge, tasks: Vec<Task>, mut ticket: Ticket) -> Results {
    let (sender, receiver) = mpsc::channel(tasks.len().max(1));
    let waiting = tasks.iter().map(|task| match &task.work {
        Work::Program(submission) => (submission.index, submission.id.clone()),
        Work::Answer(answer) => (answer.index, answer.id.clone()),
    });
    let waiting = waiting.collect();
    let (programs, answers): (Vec<_>, Vec<_>) =
        tasks.into_iter().partition(|task| matches!(task.work, Work::Program(_)));
    let work = tokio::spawn(async move {
        let status = judge.slots().status();
        let under_way_max = (status.slots + status.building).max(1);
        let judge = &judge;
        let judged = |tasks: Vec<Task>, under_way_max| {
            stream::iter(tasks)
                .map(move |task| async move { judge.judge_task(&task).await })
                .buffer_unordered(under_way_max)
        };
        let programs = judged(programs, under_way_max);
        let reports = stream::select(programs, judged(answers, ANSWERS_UNDER_WAY_MAX));
        let mut reports = std::pin::pin!(reports);
        while let Some(report) = reports.next().await {
            ticket.answered();
            if sender.send(report).await.is_err() {
                return;
            }
        }
    });
    Results { receiver, work: work.abort_handle(), waiting }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::admission::Admission;
    use crate::pipeline::Caches;
    use crate::slots::scripted::ScriptedSlots;
    use crate::task::tests::task;
    use crate::telemetry::Metrics;

    const JSON: &str = r#"{"language":"python","source":"x","fresh":true,"problem":
        {"kind":"stdio","tests":[{"stdout":"1"}]}}"#;

    async fn eventually(condition: impl Fn() -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while !condition() {
            assert!(tokio::time::Instant::now() < deadline, "it did not happen in time");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_batch_has_no_more_under_way_than_there_are_slots() {
        let slots = ScriptedSlots::new([]);
        let leases = Arc::clone(&slots.leases);
        let admission = Admission::new(100, 1024);
        let judge_it =
            Judge::new(Arc::new(slots), Arc::new(Metrics::new().unwrap()), Caches::none());
        let submissions = (0..50).map(|_| task(JSON).unwrap()).collect();
        let results = judge(judge_it, submissions, admission.admit(50).unwrap());
        eventually(|| *leases.lock().unwrap() > 0).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(*leases.lock().unwrap(), 2);
        assert_eq!(admission.queued(), 50);
        drop(results);
        eventually(|| admission.queued() == 0).await;
    }
}
