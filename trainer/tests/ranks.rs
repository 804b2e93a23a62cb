//! Data-parallel ranks: two of them make the steps that one makes on the joined batch; one that is
//! killed, silent or wrong ends the run, which goes on where it was.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;

use tch::{Device, Kind};
use trainer::config::RunConfig;
use trainer::metrics::{self, Metrics};
use trainer::model::files;
use trainer::optimizer::AdamW;
use trainer::parallel::{Reduce, Single, TcpRanks};
use trainer::policy::Policy;
use trainer::random::Stream;
use trainer::rollout::ledger::Fate;
use trainer::rollout::{Finish, Group, Outcome};
use trainer::update::Updater;

mod support;
use support::judge::{Act, StandIn};
use support::{SMALL_RUN, run_command, settled, small_run, tiny_decoder, weights_digest};

fn policy() -> Policy {
    let decoder = tiny_decoder(5, Kind::Double);
    Policy { decoder, version: 0, temperature: 1.0, suppressed: vec![0] }
}

/// Judged groups, as if the policy had sampled them.
fn groups(policy: &Policy, seed: u64) -> Vec<Group> {
    let mut stream = Stream::new(&[seed]);
    (0..5)
        .map(|id| {
            let mut group = Group::new(id, 0, vec![3, 4, 5], 3);
            for rollout in &mut group.rollouts {
                let length = 2 + stream.below(5);
                let tokens: Vec<u32> =
                    (0..length).map(|_| 2 + u32::try_from(stream.below(20)).unwrap()).collect();
                let sequence =
                    trainer::policy::Sequence { prompt: &group.prompt, completion: &tokens };
                let inference_logprobs = policy.logprobs(&[sequence]).swap_remove(0);
                rollout.segments.push(trainer::algorithm::importance::Segment {
                    version: 0,
                    tokens,
                    inference_logprobs,
                });
                rollout.finish = Finish::Stop;
                rollout.outcome = Some(Outcome::Reward(stream.uniform()));
            }
            group
        })
        .collect()
}

fn run_config(silence: &str) -> RunConfig {
    let folder = tempfile::tempdir().unwrap();
    let settings = ["algorithm.steps=2", "optimizer.learning_rate=0.01", silence];
    small_run(folder.path(), &settings)
}

/// Long enough for a rank on a busy machine.
const PATIENT: &str = "ranks.silence_ms=120000";

fn train(ranks: &mut dyn Reduce) -> Policy {
    tch::set_num_threads(1);
    let config = run_config(PATIENT);
    let mut policy = policy();
    let mut optimizer = AdamW::new(config.optimizer, &policy.decoder);
    for iteration in 0..3 {
        let groups = groups(&self::policy(), iteration);
        let updater = Updater { config: &config, iteration, turn_ends: Vec::new() };
        let parts = (&mut policy, &mut optimizer);
        updater.run(parts, &groups, ranks, &mut Metrics::default()).unwrap();
    }
    policy
}

#[test]
fn p12_two_ranks_equal_one_on_the_joined_batch_and_hold_the_same_bits() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let other = std::thread::spawn(move || {
        let mut ranks = TcpRanks::join(&address, 1, 2, &run_config(PATIENT)).unwrap();
        files::digest(&train(&mut ranks).decoder.snapshot()).unwrap()
    });
    let first =
        train(&mut TcpRanks::lead(&listener, 2, &run_config(PATIENT)).unwrap()).decoder.snapshot();
    assert_eq!(other.join().unwrap(), files::digest(&first).unwrap());
    let alone = train(&mut Single).decoder.snapshot();
    let start = policy().decoder.snapshot();
    let mut moved = 0.0_f64;
    for ((one, both), start) in alone.iter().zip(&first).zip(&start) {
        let difference = (&one.1 - &both.1).abs().max().double_value(&[]);
        assert!(difference < 1e-9, "{}: off by {difference}", one.0);
        moved = moved.max((&one.1 - &start.1).abs().max().double_value(&[]));
    }
    assert!(moved > 1e-3, "nothing was trained");
    assert_eq!(policy().decoder.device(), Device::Cpu);
}

fn fails(ranks: &mut dyn Reduce) -> String {
    tch::set_num_threads(1);
    let config = run_config(PATIENT);
    let mut policy = policy();
    let mut optimizer = AdamW::new(config.optimizer, &policy.decoder);
    let groups = groups(&policy, 0);
    let updater = Updater { config: &config, iteration: 0, turn_ends: Vec::new() };
    let parts = (&mut policy, &mut optimizer);
    updater.run(parts, &groups, ranks, &mut Metrics::default()).unwrap_err()
}

#[test]
fn a_rank_that_is_silent_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (over, wait) = mpsc::channel::<()>();
    let silent = std::thread::spawn(move || {
        let ranks = TcpRanks::join(&address, 1, 2, &run_config(PATIENT)).unwrap();
        wait.recv().unwrap_err();
        drop(ranks);
    });
    let config = run_config("ranks.silence_ms=100");
    let error = fails(&mut TcpRanks::lead(&listener, 2, &config).unwrap());
    assert_eq!(error, "rank 1 is silent for too long");
    drop(over);
    silent.join().unwrap();
}

#[test]
fn strangers_are_left_alone_and_another_configuration_is_refused() {
    for (other, ranks, reason) in
        [("algorithm.tau=0.9", 2, "another configuration"), (PATIENT, 3, "number of ranks")]
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut stranger = TcpStream::connect(&address).unwrap();
        stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let joins = std::thread::spawn(move || {
            let mut links = TcpRanks::join(&address, 1, ranks, &run_config(other)).unwrap();
            links.receive_start().unwrap_err()
        });
        let error = TcpRanks::lead(&listener, 2, &run_config(PATIENT)).unwrap_err();
        assert!(error.contains("rank 1 has") && error.contains(reason), "{error}");
        assert_eq!(joins.join().unwrap(), "rank 0 is gone");
    }
}

/// A process; killed when dropped.
struct Process(Child);

impl Process {
    /// Waits for its end; with what it said about failing.
    fn end(&mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.0.wait().unwrap(), said)
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already where nothing failed.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Both ranks of a run.
fn start(folder: &Path, url: &str) -> [Process; 2] {
    let settings = ["iterations=40"];
    let mut command = run_command(folder, url, &settings);
    command.args(["--rendezvous", "127.0.0.1:0", "--ranks", "2"]);
    let mut first = Process(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(first.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let waits = lines.find(|line| line.starts_with("waiting for 1 other")).unwrap();
    // What it goes on to say is read until its end, so that it never waits for a reader.
    std::thread::spawn(move || lines.count());
    let config = folder.join("rank.toml");
    std::fs::write(&config, SMALL_RUN).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_assay-train"));
    command.arg("rank").arg(config).args(["--rank", "1", "--ranks", "2"]);
    command.args(["--join", waits.rsplit(' ').next().unwrap(), "--set", settings[0]]);
    let other = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    [first, Process(other)]
}

#[test]
fn a_rank_that_is_killed_ends_the_run_on_both_which_goes_on_as_if_nothing_were() {
    let plain = StandIn::start(|_| Act::Answer);
    let undisturbed = tempfile::tempdir().unwrap();
    for rank in &mut start(undisturbed.path(), &plain.url) {
        let (status, said) = rank.end();
        assert!(status.success(), "{said}");
    }
    let wanted = weights_digest(&undisturbed.path().join("run"));
    for killed in [1, 0] {
        let (strike, struck) = mpsc::channel();
        let judge = StandIn::start(move |request| {
            if request == 17 {
                strike.send(()).ok();
            }
            Act::Answer
        });
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let mut ranks = start(folder.path(), &judge.url);
        struck.recv().unwrap();
        ranks[killed].kill();
        let (status, said) = ranks[1 - killed].end();
        assert!(!status.success(), "the other rank took no notice");
        assert!(said.contains(&format!("rank {killed} is gone")), "{said}");
        let before = settled(&run);
        assert!(!before.is_empty() && before.len() < 160, "killed too late: {}", before.len());
        for rank in &mut start(folder.path(), &judge.url) {
            let (status, said) = rank.end();
            assert!(status.success(), "{said}");
        }
        assert_eq!(weights_digest(&run), wanted, "rank {killed} killed");
        let fates = settled(&run);
        assert_eq!(fates.len(), 40 * 4, "every group meets one fate");
        assert!(fates.iter().all(|(_, fate)| *fate == Fate::Trained));
        assert!(fates.starts_with(&before), "what was settled was settled again");
        let rows = metrics::read(&run).unwrap();
        let iterations: Vec<u64> = rows.iter().map(|(iteration, _)| *iteration).collect();
        assert_eq!(iterations, (0..=40).collect::<Vec<u64>>());
    }
}
