//! The last results, as their senders got them, in a ring that is bounded in number and in bytes.
//!
//! What is shown of a result is what its reply showed: the feedback that its sender asked for is a
//! promise to whoever set the problem, and hidden tests stay hidden here as well.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::{RecentResponse, RecentSummary};

use crate::limits::{RECENT_BYTES_MAX, RECENT_MAX, RECENT_SOURCE_BYTES};
use crate::report::Report;
use crate::task::{Task, Work};

/// The ring.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<Entry>,
    bytes: usize,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    at: Instant,
    language: Option<String>,
    took: Duration,
    source: String,
    source_truncated: bool,
    report: Report,
    bytes: usize,
}

impl Recent {
    /// Notes a result; the oldest makes room.
    pub fn note(&self, task: &Task, report: &Report, took: Duration) {
        let (language, source) = match &task.work {
            Work::Program(submission) => {
                (Some(submission.language.name.clone()), submission.code.source())
            }
            Work::Answer(answer) => (None, answer.answer.clone().map(Into::into)),
        };
        let source = source.unwrap_or_default();
        let head = &source[..source.len().min(RECENT_SOURCE_BYTES)];
        let source_truncated = head.len() < source.len();
        let source = String::from_utf8_lossy(head).into_owned();
        let judged = report.judgement.as_ref().map_or(0, crate::report::Judgement::bytes);
        let mut entry = Entry {
            number: 0,
            at: Instant::now(),
            language,
            took,
            bytes: source.len() + judged + size_of::<Entry>(),
            source,
            source_truncated,
            report: report.clone(),
        };
        if entry.bytes > RECENT_BYTES_MAX {
            return;
        }
        let mut ring = self.ring();
        entry.number = ring.next;
        ring.next += 1;
        while ring.entries.len() >= RECENT_MAX || ring.bytes + entry.bytes > RECENT_BYTES_MAX {
            let Some(oldest) = ring.entries.pop_front() else { break };
            ring.bytes -= oldest.bytes;
        }
        ring.bytes += entry.bytes;
        ring.entries.push_back(entry);
    }

    /// The last `count`, the newest first.
    #[must_use]
    pub fn list(&self, count: usize) -> Vec<RecentSummary> {
        self.ring().entries.iter().rev().take(count).map(Entry::summary).collect()
    }

    /// One of them, while it is kept.
    #[must_use]
    pub fn find(&self, number: u64) -> Option<RecentResponse> {
        let ring = self.ring();
        let entry = ring.entries.iter().find(|entry| entry.number == number)?;
        Some(RecentResponse {
            summary: entry.summary(),
            source: entry.source.clone(),
            source_truncated: entry.source_truncated,
            result: entry.report.to_wire(),
        })
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // What is behind the lock is consistent at every point where a panic could be.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn summary(&self) -> RecentSummary {
        let result = self.report.to_wire();
        RecentSummary {
            number: self.number,
            ago_seconds: self.at.elapsed().as_secs_f64(),
            id: result.id,
            language: self.language.clone(),
            verdict: result.verdict,
            reward: result.reward,
            duration_ms: self.took.as_secs_f64() * 1000.0,
            cached: result.cached,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::Verdict;
    use crate::report::Judgement;
    use crate::task::tests::task;

    const JSON: &str = r#"{"id":"a","language":"python","source":"print(1)","problem":
        {"kind":"stdio","tests":[{"stdout":"1"}]}}"#;

    fn report() -> Report {
        let points = crate::grade::Points::default();
        Report::new(
            Some("a".to_owned()),
            0,
            Ok(Judgement::bare(Verdict::Accepted, Vec::new(), points)),
        )
    }

    #[test]
    fn the_newest_come_first_and_the_oldest_make_room() {
        let recent = Recent::default();
        let task = task(JSON).unwrap();
        for _ in 0..RECENT_MAX + 2 {
            recent.note(&task, &report(), Duration::from_millis(5));
        }
        let list = recent.list(usize::MAX);
        assert_eq!(list.len(), RECENT_MAX);
        assert_eq!(list[0].number, RECENT_MAX as u64 + 1);
        assert!(recent.find(1).is_none());
        let found = recent.find(2).unwrap();
        assert_eq!((found.source.as_str(), found.source_truncated), ("print(1)", false));
        assert_eq!(found.summary.language.as_deref(), Some("python"));
        assert_eq!(found.result.verdict, Some(protocol::Verdict::Accepted));
        assert_eq!(recent.list(3).len(), 3);
    }

    #[test]
    fn large_ones_are_bounded_together() {
        let recent = Recent::default();
        let long = "x".repeat(2 * RECENT_SOURCE_BYTES);
        let task = task(&JSON.replace("print(1)", &long)).unwrap();
        for _ in 0..3 {
            recent.note(&task, &report(), Duration::ZERO);
        }
        let found = recent.find(2).unwrap();
        assert_eq!((found.source.len(), found.source_truncated), (RECENT_SOURCE_BYTES, true));
        let ring = recent.ring();
        assert!(ring.bytes <= RECENT_BYTES_MAX);
        assert_eq!(ring.bytes, ring.entries.iter().map(|entry| entry.bytes).sum::<usize>());
    }
}
