//! Judges the submissions of one request, and hands out each result when it is ready.
//!
//! Fairness: a request has at most as many submissions under way as there are slots. Slots are
//! leased first come, first served, so a submission that arrives beside a batch of thousands waits
//! for no more than the batch has under way, and not for the thousands.
//!
//! The work goes on beside the reply, so that a client that reads slowly holds no slot; results
//! wait in a channel with room for all of them. Dropping [`Results`] ends all that still runs.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::admission::Ticket;
use crate::pipeline::Judge;
use crate::report::{FailureKind, JudgeFailure, Report, Retry};
use crate::submission::ValidSubmission;

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
        Some(Report { id, index, extraction: None, judgement: Err(LOST) })
    }
}

const LOST: JudgeFailure = JudgeFailure {
    class: FailureKind::Infrastructure,
    retry: Retry::Later,
    message: "the service failed before the submission was judged",
};

impl Drop for Results {
    fn drop(&mut self) {
        self.work.abort();
    }
}

/// Starts judging `submissions`. The ticket makes room as they are answered.
#[must_use]
pub fn judge(judge: Judge, submissions: Vec<ValidSubmission>, mut ticket: Ticket) -> Results {
    let (sender, receiver) = mpsc::channel(submissions.len().max(1));
    let waiting = submissions.iter().map(|submission| (submission.index, submission.id.clone()));
    let waiting = waiting.collect();
    let work = tokio::spawn(async move {
        let status = judge.slots().status();
        let under_way_max = (status.slots + status.building).max(1);
        let judge = &judge;
        let reports = stream::iter(submissions)
            .map(|submission| async move { judge.judge(&submission).await })
            .buffer_unordered(under_way_max);
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
    use crate::plan::tests::valid;
    use crate::slots::scripted::ScriptedSlots;
    use crate::telemetry::Metrics;

    const JSON: &str = r#"{"language":"python","source":"x","problem":
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
        let judge_it = Judge::new(Arc::new(slots), Arc::new(Metrics::new().unwrap()));
        let submissions = (0..50).map(|_| valid(JSON)).collect();
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
