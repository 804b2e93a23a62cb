//! A run: assign, wait for the judged batch, train, publish, record; again.
//!
//! ```text
//! assignment ─► engine: sample ─► judge ─► batch ─► advantage ─► loss ─► version + 1 ─► assignment
//! ```
//!
//! Batch b is sampled by version b - staleness and trained by version b. The engine and the judge
//! work on later batches while this thread trains. Everything that decides the next weights is a
//! function of the configuration and of rewards, so that a run that was killed and goes on from its
//! last checkpoint ends with the same weights as one that was not.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use crate::checkpoint::{self, Assigned, Checkpoint, TrainerState};
use crate::config::RunConfig;
use crate::evaluate::{self, Evaluation};
use crate::limits::BARREN_ITERATIONS_MAX;
use crate::metrics::{Metrics, MetricsLog};
use crate::model::ModelError;
use crate::optimizer::AdamW;
use crate::parallel::{Reduce, TcpRanks};
use crate::policy::{Policy, Weights};
use crate::problems::ProblemTable;
use crate::rollout::Group;
use crate::rollout::engine::{self, Assignment, Backend, Event, Judging};
use crate::rollout::inbox::Inbox;
use crate::rollout::ledger::{Ledger, LedgerError};
use crate::rollout::sampler::SamplerOptions;
use crate::rollout::store::{FateRecord, Latest, ReplayStore, StoreError, StoredBatch};
use crate::update::{Report, Updater};

/// Why a run ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Model or checkpoint.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Replay store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The books do not balance: a fault of the trainer.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Metrics cannot be written.
    #[error("metrics: {0}")]
    Metrics(#[from] std::io::Error),
    /// Another rank is gone.
    #[error("{0}: start all ranks again, and the run goes on from its last checkpoint")]
    Rank(String),
    /// Sampling is impossible.
    #[error("sampling: {0}")]
    Sampling(String),
    /// A checkpoint of another configuration.
    #[error(
        "the checkpoint is of another configuration ({found}, not {wanted}): use the same one, or a new folder"
    )]
    OtherConfig {
        /// Hash in the checkpoint.
        found: String,
        /// Hash of the configuration.
        wanted: String,
    },
    /// The judge gives nothing to learn from.
    #[error("no valid reward in {0} iterations in a row: is the judge at {1} well?")]
    Barren(u32, String),
    /// The judge gives nothing to begin with.
    #[error("no valid reward in the first evaluation: does a service of Assay listen at {0}?")]
    Unjudged(String),
}

/// Hears of each iteration's figures.
pub type Observer = Box<dyn FnMut(u64, &Metrics)>;

/// Hears, in words, what a run waits for when it waits long.
pub type Alarm = Box<dyn FnMut(&str)>;

/// What a run is given.
pub struct Parts {
    /// The configuration.
    pub config: RunConfig,
    /// Where it writes.
    pub folder: PathBuf,
    /// The judge, the task, the tokenizer.
    pub judging: Arc<Judging>,
    /// Who samples.
    pub backend: Box<dyn Backend>,
    /// The policy after its warm start, or with any weights where the run goes on.
    pub policy: Policy,
    /// How tokens are drawn.
    pub options: SamplerOptions,
    /// The ranks.
    pub ranks: Box<dyn Reduce>,
    /// Who watches.
    pub observer: Observer,
    /// Who is told what the run waits for.
    pub alarm: Alarm,
    /// How long it waits for one thing before it says for what.
    pub patience: Duration,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// A run.
pub struct Run {
    parts: Parts,
    optimizer: AdamW,
    store: ReplayStore,
    state: TrainerState,
    /// Weights that still sample, oldest first; the newest is the policy's.
    behaviour: VecDeque<Weights>,
    unwritten: Vec<(u64, FateRecord)>,
    log: MetricsLog,
    start: Instant,
    checkpoint_seconds: f64,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("folder", &self.parts.folder).finish_non_exhaustive()
    }
}

impl Run {
    /// Opens the run's folder: goes on from its latest checkpoint, or starts with the given policy.
    ///
    /// # Errors
    /// A folder of another configuration, or one that cannot be read.
    pub fn open(mut parts: Parts) -> Result<Self, TrainError> {
        std::fs::create_dir_all(parts.folder.join("checkpoints"))?;
        let store = ReplayStore::open(&parts.folder.join("replay.redb"))?;
        let mut optimizer = AdamW::new(parts.config.optimizer, &parts.policy.decoder);
        let hash = parts.config.hash();
        let (state, behaviour) = match store.latest()? {
            Some(latest) => {
                let folder = parts.folder.join("checkpoints").join(&latest.folder);
                let order: Vec<String> =
                    parts.policy.decoder.parameters().iter().map(|p| p.name.clone()).collect();
                let restored = checkpoint::read(&folder, &order)?;
                if restored.state.config_hash != hash {
                    let found = restored.state.config_hash;
                    return Err(TrainError::OtherConfig { found, wanted: hash });
                }
                parts.policy.load(&restored.weights)?;
                optimizer = AdamW::new(parts.config.optimizer, &parts.policy.decoder);
                if !restored.optimizer.is_empty() {
                    optimizer.load(&parts.policy.decoder, &restored.optimizer)?;
                }
                let mut behaviour: VecDeque<Weights> = restored.behaviour.into();
                behaviour.push_back(restored.weights);
                (restored.state, behaviour)
            }
            None => {
                let problems = ProblemTable::new(
                    parts.judging.task.as_ref(),
                    parts.config.problems,
                    parts.config.seed,
                );
                let state = TrainerState {
                    version: 0,
                    config_hash: hash,
                    problems,
                    ledger: Ledger::new(parts.config.rollout.staleness),
                    next_group: 0,
                    assigned: Vec::new(),
                    carry: Vec::new(),
                    barren: 0,
                };
                (state, VecDeque::from([parts.policy.weights()]))
            }
        };
        let goes_on = store.latest()?.map(|latest| latest.version);
        let log = MetricsLog::open(&parts.folder, goes_on)?;
        let start = Instant::now();
        let unwritten = Vec::new();
        Ok(Self {
            parts,
            optimizer,
            store,
            state,
            behaviour,
            unwritten,
            log,
            start,
            checkpoint_seconds: 0.0,
        })
    }

    /// Iterations that are done.
    #[must_use]
    pub fn iteration(&self) -> u64 {
        self.state.version
    }

    /// What Prometheus reads.
    #[must_use]
    pub fn registry(&self) -> prometheus::Registry {
        self.log.registry()
    }

    /// Trains to the end; returns the last evaluation.
    ///
    /// # Errors
    /// What ended it before; it can go on from its last checkpoint.
    pub fn train(mut self) -> Result<Evaluation, TrainError> {
        let mut evaluation = self.first_evaluation()?;
        let (assignments, inbox_of_engine) = mpsc::sync_channel(
            usize::try_from(self.parts.config.rollout.staleness).unwrap_or(0) + 2,
        );
        let (event_sender, events) = mpsc::channel();
        let config = self.parts.config.rollout.clone();
        let judging = Arc::clone(&self.parts.judging);
        let backend = std::mem::replace(&mut self.parts.backend, Box::new(Nobody));
        let engine = std::thread::Builder::new().name("rollout".to_owned()).spawn(move || {
            engine::serve(backend, &config, &judging, (&inbox_of_engine, &event_sender));
        })?;
        let result = self.iterate(&assignments, &events, &mut evaluation);
        drop(assignments);
        drop(events);
        // Joining an engine that panicked changes nothing: its events have ended already.
        drop(engine.join());
        result?;
        // One that is gone by now has nothing left to do.
        drop(self.parts.ranks.end());
        Ok(evaluation)
    }

    fn iterate(
        &mut self,
        assignments: &SyncSender<Assignment>,
        events: &Receiver<Event>,
        evaluation: &mut Evaluation,
    ) -> Result<(), TrainError> {
        let mut inbox = Inbox::default();
        let mut start = self.optimizer.state(&self.parts.policy.decoder);
        start.extend(self.parts.policy.decoder.snapshot());
        self.parts.ranks.start(&start).map_err(TrainError::Rank)?;
        self.reassign(assignments)?;
        let config = self.parts.config.clone();
        while self.state.version < config.iterations {
            self.assign(assignments)?;
            let mut metrics = Metrics::default();
            let iteration_start = Instant::now();
            let batch = self.wait(events, &mut inbox, &mut metrics)?;
            let report = self.update(&batch, &mut metrics)?;
            self.settle(batch, &report)?;
            let done = self.state.version;
            let last = done == config.iterations;
            let every = config.evaluation.every;
            if last || (every > 0 && done.is_multiple_of(every)) {
                *evaluation = self.evaluate(&mut metrics);
            }
            let early = evaluation.success >= config.evaluation.stop_at;
            // What comes next is assigned before the checkpoint, so that the checkpoint holds it.
            if !last && !early {
                self.assign(assignments)?;
            }
            let seconds = iteration_start.elapsed().as_secs_f64();
            metrics.set("time/iteration_seconds", seconds);
            metrics.set("time/since_start_seconds", self.start.elapsed().as_secs_f64());
            metrics.set("time/last_checkpoint_seconds", self.checkpoint_seconds);
            let idle = metrics.value("time/wait_for_reward_seconds") / seconds.max(1e-9);
            metrics.set("time/idle_for_reward_share", idle);
            // Before the checkpoint: a run that goes on from it finds all lines up to it.
            self.log.write(done, &metrics)?;
            let every = config.checkpoint.every;
            if last || early || (every > 0 && done.is_multiple_of(every)) {
                let start = Instant::now();
                self.checkpoint()?;
                self.checkpoint_seconds = start.elapsed().as_secs_f64();
            }
            (self.parts.observer)(done, &metrics);
            if early {
                break;
            }
            if self.state.barren >= BARREN_ITERATIONS_MAX {
                let url = config.judge.url;
                return Err(TrainError::Barren(self.state.barren, url));
            }
        }
        Ok(())
    }

    /// Before the first iteration: evaluates, and writes the checkpoint that a kill falls back to.
    fn first_evaluation(&mut self) -> Result<Evaluation, TrainError> {
        let done = self.state.version;
        let goes_on = self.store.latest()?.is_some();
        if goes_on && done < self.parts.config.iterations {
            return Ok(Evaluation::default());
        }
        let mut metrics = Metrics::default();
        let evaluation = self.evaluate(&mut metrics);
        if !goes_on {
            if evaluation.judged == 0 && evaluation.invalid > 0 {
                return Err(TrainError::Unjudged(self.parts.config.judge.url.clone()));
            }
            self.log.write(0, &metrics)?;
            (self.parts.observer)(0, &metrics);
            self.checkpoint()?;
        }
        Ok(evaluation)
    }

    fn evaluate(&self, metrics: &mut Metrics) -> Evaluation {
        let start = Instant::now();
        let config = &self.parts.config;
        let sizes = (config.evaluation.problems, config.rollout.tokens_max);
        let found =
            evaluate::run(&self.parts.policy, &self.parts.judging, &self.parts.options, sizes);
        found.write(metrics);
        metrics.set("time/evaluation_seconds", start.elapsed().as_secs_f64());
        found
    }

    /// After a restart, assigns again what was assigned and not trained.
    fn reassign(&self, assignments: &SyncSender<Assignment>) -> Result<(), TrainError> {
        let mut carry = Some(self.state.carry.clone());
        for assigned in &self.state.assigned {
            let weights = self.behaviour.iter().find(|weights| weights.version == assigned.version);
            let weights = weights.ok_or_else(|| {
                let version = assigned.version;
                TrainError::Sampling(format!("the weights of version {version} are lost"))
            })?;
            let stored = self.store.batch(assigned.batch)?;
            let (weights, groups) = (weights.clone(), assigned.groups.clone());
            let batch = assigned.batch;
            let assignment = Assignment { batch, weights, groups, carry: carry.take(), stored };
            assignments.send(assignment).map_err(|_| engine_gone())?;
        }
        Ok(())
    }

    /// Assigns as many batches as the staleness bound admits.
    fn assign(&mut self, assignments: &SyncSender<Assignment>) -> Result<(), TrainError> {
        let config = &self.parts.config;
        while self.state.ledger.admits() && self.state.ledger.next_batch() < config.iterations {
            let batch = self.state.ledger.next_batch();
            let drawn = self.state.problems.draw(batch, config.rollout.groups);
            let mut groups = Vec::with_capacity(drawn.len());
            for problem in drawn {
                let judging = &self.parts.judging;
                let prompt = judging.tokenizer.encode(&judging.task.problems()[problem].prompt)?;
                let id = self.state.next_group;
                groups.push(Group::new(id, problem, prompt, config.rollout.samples));
                self.state.next_group += 1;
            }
            let ids: Vec<u64> = groups.iter().map(|group| group.id).collect();
            self.state.ledger.dispatch(&ids)?;
            let weights = self.behaviour.back().ok_or_else(engine_gone)?.clone();
            let version = weights.version;
            self.state.assigned.push(Assigned { batch, version, groups: groups.clone() });
            // An engine that starts holds nothing back from before.
            let carry = (batch == 0).then(Vec::new);
            let assignment = Assignment { batch, weights, groups, carry, stored: None };
            assignments.send(assignment).map_err(|_| engine_gone())?;
        }
        Ok(())
    }

    /// Waits for the next batch with all its rewards; says for what if it takes long.
    fn wait(
        &mut self,
        events: &Receiver<Event>,
        inbox: &mut Inbox,
        metrics: &mut Metrics,
    ) -> Result<StoredBatch, TrainError> {
        let wanted = self.state.version;
        let start = Instant::now();
        while !inbox.complete(wanted) {
            match events.recv_timeout(self.parts.patience) {
                Ok(event) => inbox.hear(event).map_err(TrainError::Sampling)?,
                Err(RecvTimeoutError::Timeout) => self.tell(&inbox.awaited(wanted), start),
                Err(RecvTimeoutError::Disconnected) => return Err(engine_gone()),
            }
        }
        metrics.set("time/wait_seconds", start.elapsed().as_secs_f64());
        // Of a batch that was sampled before this began, all of the waiting was for rewards.
        let for_reward =
            inbox.sampled_at(wanted).map_or(0.0, |at| at.max(start).elapsed().as_secs_f64());
        metrics.set("time/wait_for_reward_seconds", for_reward);
        let (stored, fresh) = inbox.take(wanted, metrics);
        if fresh {
            self.store.put_batch(wanted, &stored)?;
        }
        Ok(stored)
    }

    /// Names what the run waits for, so that one that stands still says why.
    fn tell(&mut self, awaited: &str, since: Instant) {
        let (seconds, pending) = (since.elapsed().as_secs(), self.state.ledger.pending());
        let iteration = self.state.version;
        (self.parts.alarm)(&format!(
            "iteration {iteration}: waiting for {awaited} for {seconds} s; {pending} groups are pending"
        ));
    }

    fn update(&mut self, batch: &StoredBatch, metrics: &mut Metrics) -> Result<Report, TrainError> {
        let start = Instant::now();
        let version = self.state.version;
        let ages = batch.groups.iter().filter_map(Group::oldest_version);
        metrics.spread("staleness/versions", ages.map(|v| version.saturating_sub(v) as f64));
        metrics.set("staleness/pending_groups", self.state.ledger.pending() as f64);
        metrics.set("partial/carried_groups", batch.carry.len() as f64);
        self.parts.ranks.share(version, &batch.groups).map_err(TrainError::Rank)?;
        let turn_ends = self.parts.judging.turn_ends();
        let updater = Updater { config: &self.parts.config, iteration: version, turn_ends };
        let parts = (&mut self.parts.policy, &mut self.optimizer);
        let report = updater
            .run(parts, &batch.groups, self.parts.ranks.as_mut(), metrics)
            .map_err(TrainError::Rank)?;
        metrics.set("time/update_seconds", start.elapsed().as_secs_f64());
        Ok(report)
    }

    /// Writes the fates down and publishes the next version.
    fn settle(&mut self, batch: StoredBatch, report: &Report) -> Result<(), TrainError> {
        let iteration = self.state.version;
        for (group, fate) in &report.fates {
            self.state.ledger.settle(*group, *fate)?;
            self.unwritten.push((*group, FateRecord { fate: *fate, iteration }));
        }
        for (problem, pass_rate) in &report.pass_rates {
            self.state.problems.observe(*problem, *pass_rate);
        }
        if report.judged > 0 {
            self.state.barren = 0;
        } else if report.invalid > 0 {
            self.state.barren += 1;
        }
        self.state.carry = batch.carry;
        self.state.assigned.retain(|assigned| assigned.batch > iteration);
        self.state.version += 1;
        self.state.ledger.publish();
        self.parts.policy.version = self.state.version;
        self.behaviour.push_back(self.parts.policy.weights());
        let versions: Vec<u64> = self.state.assigned.iter().map(|a| a.version).collect();
        let newest = self.state.version;
        self.behaviour.retain(|w| w.version == newest || versions.contains(&w.version));
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), TrainError> {
        let decoder = &self.parts.policy.decoder;
        let optimizer = self.optimizer.state(decoder);
        let mut behaviour: Vec<Weights> = self.behaviour.iter().cloned().collect();
        let Some(weights) = behaviour.pop() else { return Err(engine_gone()) };
        let parent = self.parts.folder.join("checkpoints");
        let folder = Checkpoint {
            config: decoder.config(),
            weights: &weights,
            tokenizer: &self.parts.judging.tokenizer,
            optimizer: &optimizer,
            behaviour: &behaviour,
            state: &self.state,
        }
        .write(&parent)?;
        let latest = Latest { version: self.state.version, folder };
        self.store.commit(&latest, &self.unwritten)?;
        self.unwritten.clear();
        checkpoint::prune(&parent, self.parts.config.checkpoint.keep);
        Ok(())
    }
}

/// Stands where the engine's backend was.
struct Nobody;

impl Backend for Nobody {
    fn sample(
        &mut self,
        _weights: &Weights,
        _requests: &[crate::rollout::sampler::SampleRequest],
        _hear: &mut dyn FnMut(crate::rollout::sampler::Heard),
    ) -> Result<(), String> {
        Err("sampling is over".to_owned())
    }
}

fn engine_gone() -> TrainError {
    TrainError::Sampling("the sampling thread is gone".to_owned())
}

/// Another rank's part of a run: makes the train steps that rank 0 makes, until the run is over.
/// Returns the iterations that were made.
///
/// # Errors
/// In a sentence, what went wrong.
pub fn follow(
    config: &RunConfig,
    (policy, turn_ends): (&mut Policy, &[u32]),
    ranks: &mut TcpRanks,
) -> Result<u64, String> {
    let worded = |error: ModelError| error.to_string();
    let start = ranks.receive_start()?;
    let tensor = |name: &str| {
        let found = start.iter().find(|(other, _)| other == name);
        found.map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
    };
    let names = policy.decoder.parameters().iter().map(|parameter| parameter.name.as_str());
    let weights: Vec<_> = names.filter_map(tensor).collect();
    policy.decoder.load(&weights).map_err(worded)?;
    let mut optimizer = AdamW::new(config.optimizer, &policy.decoder);
    optimizer.load(&policy.decoder, &start).map_err(worded)?;
    let mut iterations = 0;
    while let Some(batch) = ranks.receive_batch()? {
        policy.version = batch.iteration;
        let turn_ends = turn_ends.to_vec();
        let updater = Updater { config, iteration: batch.iteration, turn_ends };
        let parts = (&mut *policy, &mut optimizer);
        updater.run(parts, &batch.groups, ranks, &mut Metrics::default())?;
        iterations += 1;
    }
    Ok(iterations)
}

/// The newest checkpoint of a run's folder.
///
/// # Errors
/// A folder that holds no run.
pub fn newest_checkpoint(folder: &Path) -> Result<PathBuf, TrainError> {
    let store = ReplayStore::open(&folder.join("replay.redb"))?;
    let latest = store
        .latest()?
        .ok_or_else(|| TrainError::Sampling(format!("{} holds no checkpoint", folder.display())))?;
    Ok(folder.join("checkpoints").join(latest.folder))
}
