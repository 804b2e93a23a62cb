//! Whole runs against a scripted judge: killed and resumed, synchronous and not, with faults of every
//! kind. Nothing hangs, nothing is trained twice, everything is counted.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use trainer::algorithm::importance::Segment;
use trainer::config::RunConfig;
use trainer::optimizer::AdamW;
use trainer::parallel::Single;
use trainer::policy::Weights;
use trainer::problems::ProblemTable;
use trainer::random::Stream;
use trainer::rollout::Group;
use trainer::rollout::engine::{Backend, LocalBackend};
use trainer::rollout::ledger::{Fate, Ledger};
use trainer::rollout::sampler::{Heard, SampleRequest};
use trainer::train::Parts;
use trainer::update::Updater;
use trainer::{metrics, setup, warm_start};

mod support;
use support::judge::{Act, StandIn};
use support::{parts, run_command, run_to_end, settled, small_run, weights_digest};

/// Kills of one run.
const KILLS: usize = 20;

fn spawn(folder: &Path, url: &str, settings: &[&str]) -> Child {
    let mut command = run_command(folder, url, settings);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn kill_and_resume(settings: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let plain = StandIn::start(|_| Act::Answer);
    let wanted = {
        let folder = tempfile::tempdir().unwrap();
        assert!(spawn(folder.path(), &plain.url, settings).wait().unwrap().success());
        weights_digest(&folder.path().join("run"))
    };
    // The judge asks for the kill at a random request, whatever the run is doing then.
    let (strike, struck) = mpsc::channel();
    let next = Arc::new(AtomicUsize::new(3));
    let at = Arc::clone(&next);
    let judge = StandIn::start(move |request| {
        if request == at.load(Ordering::SeqCst) {
            strike.send(()).ok();
        }
        Act::Answer
    });
    let mut stream = Stream::new(&[17]);
    let mut kills = 0;
    while kills < KILLS {
        let mut child = spawn(folder.path(), &judge.url, settings);
        loop {
            if struck.recv_timeout(std::time::Duration::from_millis(100)).is_ok() {
                child.kill().unwrap();
                kills += 1;
                break;
            }
            if child.try_wait().unwrap().is_some() {
                break;
            }
        }
        let over = !child.wait().unwrap().success();
        next.store(judge.requests() + 1 + stream.below(14), Ordering::SeqCst);
        if !over {
            break;
        }
    }
    assert!(spawn(folder.path(), &judge.url, settings).wait().unwrap().success());
    assert_eq!(kills, KILLS, "the run was over too early");
    assert_eq!(weights_digest(&folder.path().join("run")), wanted);
    let fates = settled(&folder.path().join("run"));
    let trained = fates.iter().filter(|(_, fate)| *fate == Fate::Trained).count();
    assert_eq!(trained, fates.len());
    let rows = metrics::read(&folder.path().join("run")).unwrap();
    let iterations: Vec<u64> = rows.iter().map(|(iteration, _)| *iteration).collect();
    let every: Vec<u64> = (0..iterations.len() as u64).collect();
    assert_eq!(iterations, every, "an iteration was lost or written twice");
}

#[test]
fn a_run_that_is_killed_twenty_times_ends_with_the_same_weights() {
    kill_and_resume(&["iterations=60"]);
}

#[test]
fn partial_rollouts_survive_kills_too() {
    kill_and_resume(&["iterations=60", "rollout.tokens_per_iteration=4", "checkpoint.every=2"]);
}

/// Waits for a half-written checkpoint of so many files; false if the process ended first. Looking
/// goes on without a pause: a checkpoint of a small model is written in milliseconds.
fn half_written(folder: &Path, files: usize, child: &mut Child) -> bool {
    loop {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries {
            let path = entry.path();
            let unfinished = path.extension().is_some_and(|extension| extension == "tmp");
            if unfinished && std::fs::read_dir(&path).is_ok_and(|found| found.count() >= files) {
                return true;
            }
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
    }
}

/// Kills while a checkpoint is being written, at any of its files. A kill counts only if what it
/// left is half a checkpoint.
#[test]
fn a_run_that_is_killed_while_it_writes_checkpoints_ends_with_the_same_weights() {
    let settings = ["iterations=150"];
    let judge = StandIn::start(|_| Act::Answer);
    let wanted = {
        let folder = tempfile::tempdir().unwrap();
        assert!(spawn(folder.path(), &judge.url, &settings).wait().unwrap().success());
        weights_digest(&folder.path().join("run"))
    };
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path().join("run/checkpoints");
    let mut stream = Stream::new(&[23]);
    let (mut halves, mut tries) = (Vec::new(), 0);
    while halves.len() < KILLS && tries < 6 * KILLS {
        tries += 1;
        let mut child = spawn(folder.path(), &judge.url, &settings);
        // What the kill before left is removed with the first checkpoint that is written.
        while unfinished(&checkpoints).is_some() && child.try_wait().unwrap().is_none() {}
        if !half_written(&checkpoints, stream.below(6), &mut child) {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        halves.extend(unfinished(&checkpoints));
    }
    assert_eq!(halves.len(), KILLS, "{tries} kills met a checkpoint only {halves:?}");
    let mut distinct = halves.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(distinct.len() > 1, "all kills met the same file: {halves:?}");
    assert!(spawn(folder.path(), &judge.url, &settings).wait().unwrap().success());
    assert_eq!(weights_digest(&folder.path().join("run")), wanted);
    assert_eq!(unfinished(&checkpoints), None, "half a checkpoint was left");
    let fates = settled(&folder.path().join("run"));
    assert_eq!(fates.len(), 150 * 4, "every group meets one fate");
}

/// How many files half a checkpoint has, where there is one.
fn unfinished(checkpoints: &Path) -> Option<usize> {
    let entries = std::fs::read_dir(checkpoints).into_iter().flatten().flatten();
    let mut paths = entries.map(|entry| entry.path());
    let half = paths.find(|path| path.extension().is_some_and(|extension| extension == "tmp"))?;
    Some(std::fs::read_dir(half).map_or(0, Iterator::count))
}

#[test]
fn the_same_run_gives_the_same_weights_and_another_seed_others() {
    let judge = StandIn::start(|_| Act::Answer);
    let url = format!("judge.url={}", judge.url);
    let digest = |settings: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        run_to_end(small_run(folder.path(), settings), &folder.path().join("run")).unwrap()
    };
    assert_eq!(digest(&[&url]), digest(&[&url]));
    assert_ne!(digest(&[&url]), digest(&[&url, "seed=4"]));
    assert_ne!(digest(&[&url]), digest(&[&url, "rollout.staleness=0"]));
}

#[test]
fn without_staleness_every_token_is_of_the_version_that_trains() {
    let judge = StandIn::start(|_| Act::Answer);
    for (staleness, wanted) in [(0, 0.0), (1, 1.0), (3, 3.0)] {
        let folder = tempfile::tempdir().unwrap();
        let settings =
            [format!("judge.url={}", judge.url), format!("rollout.staleness={staleness}")];
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        run_to_end(small_run(folder.path(), &settings), &folder.path().join("run")).unwrap();
        let rows = metrics::read(&folder.path().join("run")).unwrap();
        let oldest = rows.iter().map(|(_, row)| row.value("staleness/versions_max"));
        assert_eq!(oldest.fold(0.0, f64::max), wanted);
        // On policy, what the trainer computes first is what the sampler stored.
        let first = rows.iter().map(|(_, row)| row.value("policy/first_logprob_difference"));
        let largest = first.fold(0.0, f64::max);
        assert_eq!(largest < 1e-4, staleness == 0, "staleness {staleness}: {largest}");
        for (_, row) in &rows {
            assert!(row.value("policy/sampler_mismatch") < 1e-4);
        }
    }
}

/// The same run without the engine, its thread and its queue: sample, wait for all rewards, train.
fn synchronous(config: &RunConfig) -> String {
    tch::set_num_threads(1);
    let mut learner = setup::learner(config, tch::Device::Cpu).unwrap();
    let judging = learner.judging;
    let parts = (judging.task.as_ref(), &judging.tokenizer);
    warm_start::run(config, &mut learner.policy, parts, &mut |_, _| {}).unwrap();
    let mut backend = setup::local_backend(&learner.policy, &learner.options).unwrap();
    let mut optimizer = AdamW::new(config.optimizer, &learner.policy.decoder);
    let problems = ProblemTable::new(judging.task.as_ref(), config.problems, config.seed);
    let mut next = 0;
    for iteration in 0..config.iterations {
        let mut groups = Vec::new();
        for problem in problems.draw(iteration, config.rollout.groups) {
            let prompt =
                judging.tokenizer.encode(&judging.task.problems()[problem].prompt).unwrap();
            groups.push(Group::new(next, problem, prompt, config.rollout.samples));
            next += 1;
        }
        let samples = config.rollout.samples;
        let request = |at: usize| {
            let group: &Group = &groups[at / samples];
            SampleRequest {
                key: [group.id, (at % samples) as u64],
                prompt: group.prompt.clone(),
                prefix: Vec::new(),
                budget: config.rollout.tokens_max,
                tokens_max: config.rollout.tokens_max,
            }
        };
        let requests: Vec<SampleRequest> = (0..groups.len() * samples).map(request).collect();
        backend
            .sample(&learner.policy.weights(), &requests, &mut |heard| {
                let Heard::Ended(at, sampled) = heard else { return };
                let rollout = &mut groups[at / samples].rollouts[at % samples];
                rollout.finish = sampled.finish;
                let (tokens, inference_logprobs) = (sampled.tokens, sampled.logprobs);
                rollout.segments.push(Segment { version: iteration, tokens, inference_logprobs });
            })
            .unwrap();
        for group in &mut groups {
            let (results, judged) = mpsc::channel();
            judging.submit(group, results, |judged| judged);
            for (rollout, outcome) in group.rollouts.iter_mut().zip(judged.recv().unwrap().outcomes)
            {
                rollout.outcome = Some(outcome);
            }
        }
        let updater = Updater { config, iteration, turn_ends: Vec::new() };
        let parts = (&mut learner.policy, &mut optimizer);
        updater.run(parts, &groups, &mut Single, &mut metrics::Metrics::default()).unwrap();
        learner.policy.version = iteration + 1;
    }
    let tensors = learner.policy.decoder.snapshot();
    // In the order in which files hold them.
    let bytes = trainer::model::files::bytes_of(&tensors).unwrap();
    let tensors = trainer::model::files::tensors_of(&bytes).unwrap();
    trainer::model::files::digest(&tensors).unwrap()
}

#[test]
fn without_staleness_a_run_is_the_synchronous_one_bit_for_bit() {
    let judge = StandIn::start(|_| Act::Answer);
    let url = format!("judge.url={}", judge.url);
    let folder = tempfile::tempdir().unwrap();
    let config = small_run(folder.path(), &[&url, "rollout.staleness=0"]);
    let wanted = synchronous(&config);
    assert_eq!(run_to_end(config, &folder.path().join("run")).unwrap(), wanted);
}

#[test]
fn partial_rollouts_span_versions_within_the_bound() {
    let judge = StandIn::start(|_| Act::Answer);
    for mode in ["mask_old", "composite", "recompute"] {
        let folder = tempfile::tempdir().unwrap();
        let settings = [
            format!("judge.url={}", judge.url),
            "rollout.tokens_per_iteration=3".to_owned(),
            "rollout.span_max=2".to_owned(),
            format!("rollout.off_policy={mode}"),
        ];
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        run_to_end(small_run(folder.path(), &settings), &folder.path().join("run")).unwrap();
        let rows = metrics::read(&folder.path().join("run")).unwrap();
        assert!(rows.iter().any(|(_, row)| row.value("partial/segments_max") > 1.0));
        let fates = settled(&folder.path().join("run"));
        // Twelve tokens at three a version span four versions, one more than the bound with staleness 1.
        assert!(fates.iter().any(|(_, fate)| *fate == Fate::Trained), "{mode}: {fates:?}");
        let distinct: std::collections::HashSet<u64> = fates.iter().map(|(id, _)| *id).collect();
        assert_eq!(distinct.len(), fates.len());
    }
}

/// Runs against a script; returns the rows and fates.
fn faulty(script: impl Fn(usize) -> Act + Send + Sync + 'static, settings: &[&str]) -> Faulty {
    let judge = StandIn::start(script);
    let folder = tempfile::tempdir().unwrap();
    let url = format!("judge.url={}", judge.url);
    let all: Vec<&str> = [url.as_str()].iter().chain(settings).copied().collect();
    let result = run_to_end(small_run(folder.path(), &all), &folder.path().join("run"));
    let rows = metrics::read(&folder.path().join("run")).unwrap();
    let invalid = rows.iter().map(|(_, row)| row.value("reward/invalid")).sum();
    let retries = rows.iter().map(|(_, row)| row.value("judge/retries")).sum();
    Faulty { result, invalid, retries, fates: settled(&folder.path().join("run")) }
}

struct Faulty {
    result: Result<String, trainer::train::TrainError>,
    invalid: f64,
    retries: f64,
    fates: Vec<(u64, Fate)>,
}

impl Faulty {
    fn with(&self, wanted: Fate) -> usize {
        self.fates.iter().filter(|(_, fate)| *fate == wanted).count()
    }
}

#[test]
fn a_judge_that_recovers_changes_nothing_that_is_learnt() {
    let well = faulty(|_| Act::Answer, &[]);
    let wanted = well.result.unwrap();
    for act in [Act::Full, Act::Breaks, Act::Garbles, Act::InvalidRetryable] {
        let ill = faulty(move |n| if n % 3 == 0 { act } else { Act::Answer }, &[]);
        assert_eq!(ill.result.unwrap(), wanted, "{act:?}");
        assert_eq!(ill.invalid, 0.0);
        assert!(ill.retries > 0.0, "{act:?} was not met");
    }
}

#[test]
fn invalid_rewards_are_masked_counted_and_never_trained_as_0() {
    let ill = faulty(|n| if n % 4 == 0 { Act::Invalid } else { Act::Answer }, &[]);
    assert!(ill.result.is_ok());
    assert!(ill.invalid > 0.0);
    assert!(ill.with(Fate::DroppedInvalid) > 0 && ill.with(Fate::Trained) > 0);
    assert_eq!(ill.fates.len(), 12 * 4, "every group meets one fate");
    let refused = faulty(|n| if n % 4 == 0 { Act::Refuses } else { Act::Answer }, &[]);
    assert!(refused.with(Fate::DroppedInvalid) > 0);
}

#[test]
fn a_judge_that_hangs_costs_its_deadline_and_nothing_more() {
    let ill = faulty(
        |n| if n % 5 == 4 { Act::Hangs } else { Act::Answer },
        &["judge.deadline_ms=300", "iterations=6"],
    );
    assert!(ill.result.is_ok());
    assert!(ill.with(Fate::DroppedInvalid) > 0 && ill.with(Fate::Trained) > 0);
    assert_eq!(ill.fates.len(), 6 * 4);
}

/// The run's parts with a watchdog that cannot wait, and what it said.
fn watched(config: RunConfig, folder: &Path) -> (Parts, Arc<Mutex<Vec<String>>>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let mut parts = parts(config, folder);
    let heard = Arc::clone(&said);
    parts.alarm = Box::new(move |awaited| heard.lock().unwrap().push(awaited.to_owned()));
    parts.patience = Duration::from_millis(20);
    (parts, said)
}

#[test]
fn a_run_that_waits_says_for_which_groups() {
    let judge = StandIn::start(|n| if n == 4 { Act::Hangs } else { Act::Answer });
    let folder = tempfile::tempdir().unwrap();
    let url = format!("judge.url={}", judge.url);
    let config = small_run(folder.path(), &[&url, "judge.deadline_ms=1500", "iterations=3"]);
    let (parts, said) = watched(config, &folder.path().join("run"));
    trainer::train::Run::open(parts).unwrap().train().unwrap();
    let said = said.lock().unwrap();
    let wanted = |line: &&String| line.contains("the judge's rewards of 1 groups of batch");
    assert!(said.iter().any(|line| wanted(&line)), "{said:?}");
}

/// Samples only once it is let.
struct Stuck(mpsc::Receiver<()>, LocalBackend);

impl Backend for Stuck {
    fn sample(
        &mut self,
        weights: &Weights,
        requests: &[SampleRequest],
        hear: &mut dyn FnMut(Heard),
    ) -> Result<(), String> {
        if weights.version == 0 {
            self.0.recv().ok();
        }
        self.1.sample(weights, requests, hear)
    }
}

#[test]
fn a_run_whose_sampler_is_stuck_says_so() {
    let judge = StandIn::start(|_| Act::Answer);
    let folder = tempfile::tempdir().unwrap();
    let url = format!("judge.url={}", judge.url);
    let config = small_run(folder.path(), &[&url, "iterations=2"]);
    let learner = setup::learner(&config, tch::Device::Cpu).unwrap();
    let local = setup::local_backend(&learner.policy, &learner.options).unwrap();
    let (release, released) = mpsc::channel();
    let mut parts = parts(config, &folder.path().join("run"));
    parts.backend = Box::new(Stuck(released, local));
    let said = Arc::new(Mutex::new(String::new()));
    let heard = Arc::clone(&said);
    parts.patience = Duration::from_millis(20);
    parts.alarm = Box::new(move |awaited| {
        heard.lock().unwrap().push_str(awaited);
        release.send(()).ok();
    });
    trainer::train::Run::open(parts).unwrap().train().unwrap();
    let said = said.lock().unwrap();
    assert!(said.contains("iteration 0: waiting for the sampling of batch 0"), "{said}");
}

#[test]
fn a_judge_that_is_down_ends_the_run_with_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("judge.url=http://{}", listener.local_addr().unwrap());
    drop(listener);
    let config = small_run(folder.path(), &[&url, "judge.deadline_ms=50", "iterations=40"]);
    let error = run_to_end(config, &folder.path().join("run")).unwrap_err();
    assert!(error.to_string().contains("no valid reward in the first evaluation"), "{error}");
}

#[test]
fn a_judge_that_goes_down_ends_the_run_which_goes_on_once_it_is_back() {
    let back = Arc::new(AtomicBool::new(false));
    let well = Arc::clone(&back);
    let judge = StandIn::start(move |n| {
        if n < 12 || well.load(Ordering::SeqCst) { Act::Answer } else { Act::Refuses }
    });
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let url = format!("judge.url={}", judge.url);
    let config = small_run(folder.path(), &[&url, "iterations=20"]);
    let error = run_to_end(config.clone(), &run).unwrap_err();
    assert!(error.to_string().contains("no valid reward in 8 iterations"), "{error}");
    let before = settled(&run);
    let of = |wanted| before.iter().filter(|(_, fate)| *fate == wanted).count();
    assert!(of(Fate::Trained) > 0 && of(Fate::DroppedInvalid) >= 8 * 4, "{before:?}");
    back.store(true, Ordering::SeqCst);
    run_to_end(config, &run).unwrap();
    let fates = settled(&run);
    assert_eq!(fates.len(), 20 * 4, "every group meets one fate");
    assert!(fates.starts_with(&before), "what was settled was settled again");
    assert!(fates[before.len()..].iter().all(|(_, fate)| *fate == Fate::Trained));
}

#[test]
fn the_same_program_runs_once_within_a_group() {
    let judge = StandIn::start(|_| Act::Answer);
    let folder = tempfile::tempdir().unwrap();
    let url = format!("judge.url={}", judge.url);
    // The likeliest token only, as far as a temperature can say so: all samples are the same.
    let config = small_run(folder.path(), &[&url, "rollout.temperature=0.001", "iterations=2"]);
    run_to_end(config, &folder.path().join("run")).unwrap();
    assert!(judge.programs().iter().all(|programs| *programs <= 1), "{:?}", judge.programs());
}

#[test]
fn a_run_is_not_continued_with_another_configuration() {
    let judge = StandIn::start(|_| Act::Answer);
    let folder = tempfile::tempdir().unwrap();
    let url = format!("judge.url={}", judge.url);
    let run = folder.path().join("run");
    run_to_end(small_run(folder.path(), &[&url, "iterations=2"]), &run).unwrap();
    let other = small_run(folder.path(), &[&url, "iterations=3", "algorithm.tau=0.9"]);
    let error = run_to_end(other, &run).unwrap_err();
    assert!(error.to_string().contains("another configuration"), "{error}");
}

/// Random schedules of the books: every reachable state keeps the bound and settles each group once.
#[test]
fn p07_in_every_schedule_each_group_is_settled_once_within_the_bound() {
    for seed in 0..300 {
        let mut stream = Stream::new(&[seed]);
        let staleness = stream.below(4) as u64;
        let mut ledger = Ledger::new(staleness);
        let (mut open, mut next, mut done) = (Vec::new(), 0_u64, 0_u64);
        for _ in 0..200 {
            match stream.below(4) {
                0 => {
                    let groups: Vec<u64> = (next..next + 1 + stream.below(3) as u64).collect();
                    let admitted = ledger.admits();
                    assert_eq!(ledger.dispatch(&groups).is_ok(), admitted, "seed {seed}");
                    if admitted {
                        next += groups.len() as u64;
                        open.extend(groups);
                    }
                }
                1 if !open.is_empty() => {
                    let group = open.swap_remove(stream.below(open.len()));
                    let fates = [Fate::Trained, Fate::DroppedInvalid, Fate::DroppedStale];
                    ledger.settle(group, *stream.choice(&fates)).unwrap();
                    assert!(ledger.settle(group, Fate::Trained).is_err(), "settled twice");
                    done += 1;
                }
                2 if ledger.version() < ledger.next_batch() => ledger.publish(),
                _ => {
                    // A restart: the books are read back as they were written.
                    let text = serde_json::to_string(&ledger).unwrap();
                    assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
                }
            }
            assert!(ledger.next_batch() <= ledger.version() + staleness + 1, "seed {seed}");
            let settled: u64 = [Fate::Trained, Fate::DroppedInvalid, Fate::DroppedStale]
                .iter()
                .map(|fate| ledger.settled(*fate))
                .sum();
            assert_eq!((settled, ledger.pending() as u64 + settled), (done, next), "seed {seed}");
        }
    }
}
