//! Judges the submissions of one request, and hands out each result when it is ready.
//!
//! A request has a bounded number of submissions under way; slots are shared out among requests by
//! [`crate::slots`]. Answers need no slot and are counted apart, so that those that wait for a reward
//! model keep no program from running.
//!
//! What has no result at its deadline is reported as not judged, whether it runs or waits: nothing
//! is started after its deadline. The work goes on beside the reply, so that a client that reads
//! slowly holds no slot; results wait in a channel with room for all of them. Dropping [`Results`]
//! ends all that still runs.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::admission::Ticket;
use crate::limits::{ANSWERS_UNDER_WAY_MAX, UNDER_WAY_PER_SLOT_MAX};
use crate::pipeline::Judge;
use crate::report::{FailureKind, JudgeFailure, Report, Retry};
use crate::task::{Task, Work};

/// The results of one request, in the order in which they become ready, numbered from 1.
#[derive(Debug)]
pub struct Results {
    receiver: mpsc::Receiver<Report>,
    work: AbortHandle,
    /// Whose result is still to come, by its position.
    waiting: BTreeMap<usize, Label>,
    answered: u64,
}

/// What a result has in common with its submission.
#[derive(Clone, Debug, Default)]
struct Label {
    id: Option<String>,
    group: Option<String>,
}

impl Results {
    /// The next result; `None` after the last. Where the work ended without a result for a
    /// submission, which would be a defect of ours, the submission is reported as not judged.
    pub async fn next(&mut self) -> Option<Report> {
        if let Some(report) = self.receiver.recv().await {
            self.waiting.remove(&report.index);
            return Some(self.numbered(report));
        }
        self.without_result(LOST)
    }

    /// Ends what still runs and frees its slots. What has no result yet is reported by calling
    /// [`Self::next_cancelled`] until there is none.
    pub fn cancel(&mut self) {
        self.work.abort();
    }

    /// After [`Self::cancel`]: a result that was ready before, or the report of a submission that
    /// was cancelled.
    pub fn next_cancelled(&mut self) -> Option<Report> {
        if let Ok(report) = self.receiver.try_recv() {
            self.waiting.remove(&report.index);
            return Some(self.numbered(report));
        }
        self.without_result(CANCELLED)
    }

    fn without_result(&mut self, failure: JudgeFailure) -> Option<Report> {
        let (index, label) = self.waiting.pop_first()?;
        let report = Report { group: label.group, ..Report::new(label.id, index, Err(failure)) };
        Some(self.numbered(report))
    }

    fn numbered(&mut self, report: Report) -> Report {
        self.answered += 1;
        Report { number: Some(self.answered), ..report }
    }
}

const LOST: JudgeFailure = JudgeFailure {
    class: FailureKind::Infrastructure,
    retry: Retry::Later,
    message: Cow::Borrowed("the service failed before the submission was judged"),
};

const CANCELLED: JudgeFailure = JudgeFailure {
    class: FailureKind::Cancelled,
    retry: Retry::Later,
    message: Cow::Borrowed("the batch was cancelled before the submission was judged"),
};

impl Drop for Results {
    fn drop(&mut self) {
        self.work.abort();
    }
}

/// Starts judging `tasks`. The ticket makes room as they are answered.
#[must_use]
pub fn judge(judge: Judge, tasks: Vec<Task>, mut ticket: Ticket) -> Results {
    let start = Instant::now();
    let judge = judge.on_behalf(ticket.flow());
    let (sender, receiver) = mpsc::channel(tasks.len().max(1));
    let label = |task: &Task| Label { id: task.id().map(str::to_owned), group: task.group.clone() };
    let waiting = tasks.iter().map(|task| (task.index(), label(task))).collect();
    let work = async move {
        let status = judge.slots().status();
        let slots = (status.slots + status.building).max(1);
        let room = Room {
            programs: Semaphore::new(slots * UNDER_WAY_PER_SLOT_MAX),
            answers: Semaphore::new(ANSWERS_UNDER_WAY_MAX),
        };
        let one = |task| judge_one(&judge, task, &room, start);
        let mut reports: FuturesUnordered<_> = tasks.into_iter().map(one).collect();
        while let Some(report) = reports.next().await {
            if let Err(failure) = &report.judgement {
                judge.metrics().operation().unjudged(failure.class.name());
            }
            let verdict = report.judgement.as_ref().ok().map(|judgement| judgement.verdict);
            tracing::debug!(index = report.index, ?verdict, "answered a submission");
            ticket.answered();
            if sender.send(report).await.is_err() {
                return;
            }
        }
    };
    let work = tokio::spawn(work.in_current_span());
    Results { receiver, work: work.abort_handle(), waiting, answered: 0 }
}

/// How many submissions of a request may be under way.
struct Room {
    programs: Semaphore,
    answers: Semaphore,
}

async fn judge_one(judge: &Judge, task: Task, room: &Room, start: Instant) -> Report {
    let room = match &task.work {
        Work::Program(_) => &room.programs,
        Work::Answer(_) => &room.answers,
    };
    // Boxed, so that those that wait for their turn take little.
    let judged = async {
        let _permit = room.acquire().await;
        Box::pin(judge.judge_task(&task)).await
    };
    let mut report = match task.deadline {
        None => judged.await,
        Some(deadline) => tokio::select! {
            biased;
            () = tokio::time::sleep_until(start + deadline) => late(judge, &task, deadline),
            report = judged => report,
        },
    };
    report.group = task.group;
    report
}

fn late(judge: &Judge, task: &Task, deadline: Duration) -> Report {
    judge.metrics().judged(None);
    let failure = JudgeFailure {
        class: FailureKind::Deadline,
        retry: Retry::Later,
        message: format!("there was no result after {} ms", deadline.as_millis()).into(),
    };
    Report::new(task.id().map(str::to_owned), task.index(), Err(failure))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::admission::Admission;
    use crate::pipeline::Caches;
    use crate::slots::scripted::ScriptedSlots;
    use crate::task::tests::task;
    use crate::telemetry::Metrics;

    const JSON: &str = r#"{"id":"a","language":"python","source":"x","fresh":true,"problem":
        {"kind":"stdio","tests":[{"stdout":"1"}]}}"#;

    async fn eventually(condition: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition() {
            assert!(Instant::now() < deadline, "it did not happen in time");
            tokio::task::yield_now().await;
        }
    }

    /// Fifty submissions that never end, on two slots.
    fn endless(deadlines: impl Fn(usize) -> Option<u64>) -> (Results, Admission, Arc<Metrics>) {
        let admission = Admission::new(100, 1024, 1);
        let metrics = Arc::new(Metrics::new().unwrap());
        let slots = Arc::new(ScriptedSlots::new([]));
        let judge_it = Judge::new(slots, Arc::clone(&metrics), Caches::none());
        let one = |index| {
            let mut task = task(JSON).unwrap();
            let Work::Program(submission) = &mut task.work else { unreachable!() };
            submission.index = index;
            Task { deadline: deadlines(index).map(Duration::from_millis), ..task }
        };
        let tasks = (0..50).map(one).collect();
        let results = judge(judge_it, tasks, admission.admit(50).unwrap());
        (results, admission, metrics)
    }

    #[tokio::test]
    async fn a_batch_has_a_bounded_number_under_way_and_ends_when_nobody_wants_it() {
        let slots = ScriptedSlots::new([]);
        let leases = Arc::clone(&slots.leases);
        let admission = Admission::new(100, 1024, 1);
        let judge_it =
            Judge::new(Arc::new(slots), Arc::new(Metrics::new().unwrap()), Caches::none());
        let submissions = (0..50).map(|_| task(JSON).unwrap()).collect();
        let results = judge(judge_it, submissions, admission.admit(50).unwrap());
        eventually(|| *leases.lock().unwrap() > 0).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(*leases.lock().unwrap(), 2 * UNDER_WAY_PER_SLOT_MAX);
        assert_eq!(admission.queued(), 50);
        drop(results);
        eventually(|| admission.queued() == 0).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_no_result_at_its_deadline_is_not_judged_and_has_no_reward() {
        let (mut results, admission, _) = endless(|index| Some(if index < 10 { 50 } else { 200 }));
        for number in 1..=50 {
            let wire = results.next().await.unwrap().to_wire();
            assert_eq!((wire.reward, wire.valid, wire.number), (None, false, Some(number)));
            assert_eq!(wire.failure.unwrap().class, protocol::FailureClass::Deadline);
            assert_eq!(number <= 10, wire.index < 10, "the earlier deadline comes first");
        }
        assert!(results.next().await.is_none());
        assert_eq!(admission.queued(), 0);
    }

    #[tokio::test]
    async fn a_cancelled_batch_reports_each_submission_once_and_makes_room() {
        let (mut results, admission, _) = endless(|_| None);
        results.cancel();
        let mut indexes = Vec::new();
        while let Some(report) = results.next_cancelled() {
            let wire = report.to_wire();
            assert_eq!(wire.failure.unwrap().class, protocol::FailureClass::Cancelled);
            indexes.push(wire.index);
        }
        assert_eq!(indexes, (0..50).collect::<Vec<_>>());
        eventually(|| admission.queued() == 0).await;
    }
}
