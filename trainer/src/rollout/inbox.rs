//! What has arrived of the batches under way: sampled groups and their rewards, in any order.

use std::collections::BTreeMap;
use std::time::Instant;

use super::engine::{Event, SampledBatch};
use super::judge::Judged;
use super::sampler::Way;
use super::store::StoredBatch;
use crate::metrics::Metrics;

/// What has arrived and is not trained yet.
#[derive(Debug, Default)]
pub struct Inbox {
    sampled: BTreeMap<u64, SampledBatch>,
    judged: BTreeMap<u64, Judged>,
    /// When the sampling of a batch was heard of.
    times: BTreeMap<u64, Instant>,
}

impl Inbox {
    /// Takes in what the engine says.
    ///
    /// # Errors
    /// Why sampling is over.
    pub fn hear(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Sampled(batch) => {
                self.times.insert(batch.batch, Instant::now());
                self.sampled.insert(batch.batch, batch);
            }
            Event::Judged(judged) => {
                self.judged.insert(judged.group, judged);
            }
            Event::Failed(reason) => return Err(reason),
        }
        Ok(())
    }

    /// When a batch was sampled, if it is.
    #[must_use]
    pub fn sampled_at(&self, batch: u64) -> Option<Instant> {
        self.times.get(&batch).copied()
    }

    /// Whether the batch is sampled and all its groups are judged.
    #[must_use]
    pub fn complete(&self, batch: u64) -> bool {
        self.sampled.get(&batch).is_some_and(|sampled| {
            sampled.stored || sampled.groups.iter().all(|g| self.judged.contains_key(&g.id))
        })
    }

    /// In words, what is missing of a batch.
    #[must_use]
    pub fn awaited(&self, batch: u64) -> String {
        let Some(sampled) = self.sampled.get(&batch) else {
            return format!("the sampling of batch {batch}");
        };
        let missing: Vec<u64> = sampled
            .groups
            .iter()
            .map(|group| group.id)
            .filter(|group| !self.judged.contains_key(group))
            .collect();
        format!("the judge's rewards of {} groups of batch {batch}: {missing:?}", missing.len())
    }

    /// The batch with its outcomes, and whether it was sampled just now.
    pub fn take(&mut self, batch: u64, metrics: &mut Metrics) -> (StoredBatch, bool) {
        let Some(mut sampled) = self.sampled.remove(&batch) else {
            return (StoredBatch { groups: Vec::new(), carry: Vec::new() }, false);
        };
        let mut latencies = Vec::new();
        let (mut programs, mut retries) = (0, 0);
        for group in &mut sampled.groups {
            let Some(judged) = self.judged.remove(&group.id) else { continue };
            latencies.push(judged.latency.as_secs_f64() * 1000.0);
            programs += judged.programs;
            retries += judged.retries;
            for (rollout, outcome) in group.rollouts.iter_mut().zip(judged.outcomes) {
                rollout.outcome = Some(outcome);
            }
        }
        metrics.spread("judge/latency_ms", latencies);
        metrics.set("judge/programs", programs as f64);
        metrics.set("judge/retries", f64::from(retries));
        self.times.remove(&batch);
        sampled.write(metrics);
        let fresh = !sampled.stored;
        (StoredBatch { groups: sampled.groups, carry: sampled.carry }, fresh)
    }
}

impl SampledBatch {
    /// Figures of the sampling and of the weights' way.
    fn write(&self, metrics: &mut Metrics) {
        metrics.set("rollout/tokens", self.tokens as f64);
        metrics.set("rollout/seconds", self.seconds);
        metrics.set("rollout/idle_seconds", self.idle_seconds);
        metrics.set("weights/first_token_seconds", self.first_token_seconds);
        metrics.set("weights/load_seconds", self.load_seconds);
        let ways = |way: Way| self.published.iter().filter(|p| p.way == way).count() as f64;
        metrics.set("weights/by_shared_memory", ways(Way::SharedMemory));
        metrics.set("weights/by_http", ways(Way::Http));
        metrics.set("weights/by_folder", ways(Way::Folder));
        metrics.spread("weights/publish_seconds", self.published.iter().map(|p| p.seconds));
        metrics.spread("weights/publish_bytes", self.published.iter().map(|p| p.bytes as f64));
        metrics.set("rollout/tokens_per_second", self.tokens as f64 / self.seconds.max(1e-9));
    }
}
