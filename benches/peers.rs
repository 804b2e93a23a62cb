//! What other sandboxes cost on the same work: those that are installed, next to ours and to a bare
//! start, in the same run. Prints one JSON line, and a table to standard error.
//!
//! Every program is started the same way, by a worker pinned to a processor, for the same short time.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its figures")]

mod peer;

use std::io::Read;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Map, Value, json};
use support::slots::{self, PYTHON, Start, Work, side_by_side};
use support::table::{Table, milliseconds, per_second, times};
use support::{Times, microseconds};

use peer::{Ground, Peer, Place};

/// How long each cell of the table is measured; all together stay below a minute.
const CELL: Duration = Duration::from_millis(1200);
/// After which a start has failed.
const PATIENCE: Duration = Duration::from_secs(5);
/// One worker for the time of a start, two for how many there are in a second.
const WORKERS: [usize; 2] = [1, 2];

const SCRIPT: &str = "main.py";

/// A program, and who runs it.
struct Comparison<'a> {
    name: &'a str,
    bare: &'a [&'a str],
    /// The same inside the root that peers show.
    argv: &'a [&'a str],
    ours: Vec<(&'static str, Work)>,
}

fn main() -> Result<()> {
    sandbox::resident_entry();
    let folder = tempfile::tempdir()?;
    let trivial = folder.path().join("true");
    support::static_true(&trivial)?;
    let ground = Ground::new(&trivial)?;
    let mut board = Board::new();
    let peers = board.installed();
    let comparison = Comparison {
        name: "static_true",
        bare: &[trivial.to_str().context("no text")?],
        argv: &["/box/true"],
        ours: vec![("assay", Work::brought(&trivial)?)],
    };
    compare(&comparison, &peers, &ground, &mut board)?;
    let pass = [PYTHON, "-c", "pass"];
    let comparison =
        Comparison { name: "python_pass", bare: &pass, argv: &pass, ours: of_python()? };
    compare(&comparison, &peers, &ground, &mut board)?;
    board.print();
    Ok(())
}

fn compare(
    work: &Comparison<'_>,
    peers: &[Peer],
    ground: &Ground,
    board: &mut Board,
) -> Result<()> {
    let (program, arguments) = work.bare.split_first().context("no program")?;
    let bare = both(|_| Times::within(CELL, || run(Command::new(program).args(arguments))))?;
    board.row(work.name, "bare", &bare, &bare);
    for (label, ours) in &work.ours {
        board.row(work.name, label, &in_slots(ours)?, &bare);
    }
    for &peer in peers {
        match by_peer(peer, ground, work.argv) {
            Ok(measured) => board.row(work.name, peer.program(), &measured, &bare),
            Err(error) => board.failed(work.name, peer, &error),
        }
    }
    Ok(())
}

fn of_python() -> Result<Vec<(&'static str, Work)>> {
    let work = |start| Work::python(SCRIPT, "pass\n", start);
    Ok(vec![("assay", work(Start::Cold)?), ("assay, warm", work(Start::Warm)?)])
}

/// At one worker, then at two.
fn both(work: impl Fn(usize) -> Result<Times> + Sync) -> Result<[Times; 2]> {
    let [alone, two] = WORKERS.map(|workers| side_by_side(workers, &work));
    Ok([alone?, two?])
}

fn in_slots(work: &Work) -> Result<[Times; 2]> {
    let [alone, two] = WORKERS.map(|workers| {
        let pool = slots::pool(workers, vec![slots::warmup(SCRIPT, &[])])?;
        let measured = side_by_side(workers, |_| {
            let mut run = work.start(&pool)?;
            run()?;
            Times::within(CELL, run)
        });
        slots::close(&pool)?;
        measured
    });
    Ok([alone?, two?])
}

fn by_peer(peer: Peer, ground: &Ground, argv: &[&str]) -> Result<[Times; 2]> {
    both(|worker| {
        peer.enter_thread()?;
        let place = Place { ground, worker, argv };
        peer.prepare(&place)?;
        let measured = run(&mut peer.command(&place))
            .and_then(|()| Times::within(CELL, || run(&mut peer.command(&place))));
        peer.clean(&place)?;
        measured
    })
}

/// Runs a program to its end, which is where nobody holds its standard error any more.
fn run(command: &mut Command) -> Result<()> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("start")?;
    let said = hear(&mut child);
    if said.is_err() {
        child.kill()?;
    }
    let status = child.wait()?;
    let said = said?;
    let last = said.trim().lines().next_back().unwrap_or_default();
    ensure!(status.success(), "{status}: {last}");
    Ok(())
}

/// Reads a program's standard error to the end.
fn hear(child: &mut Child) -> Result<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut stream = child.stderr.take().context("no standard error")?;
    let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        let ready = poll(&mut [PollFd::new(stream.as_fd(), PollFlags::POLLIN)], timeout)?;
        ensure!(ready > 0, "no end after {PATIENCE:?}");
        match stream.read(&mut buffer)? {
            0 => return Ok(String::from_utf8_lossy(&said).into_owned()),
            length => said.extend_from_slice(&buffer[..length]),
        }
    }
}

/// What was measured, for machines and for people.
struct Board {
    versions: Map<String, Value>,
    figures: Map<String, Value>,
    table: Table,
}

impl Board {
    fn new() -> Self {
        let head = ["work, by", "median, one worker", "ratio", "at two workers", "ratio", "gives"];
        Self { versions: Map::new(), figures: Map::new(), table: Table::new(&head) }
    }

    /// Those that are here; the others are noted.
    fn installed(&mut self) -> Vec<Peer> {
        let mut here = Vec::new();
        for peer in Peer::ALL {
            let version = peer.version();
            if version.is_some() {
                here.push(peer);
            } else {
                eprintln!("{} is not installed", peer.program());
            }
            self.versions.insert(peer.program().to_owned(), version.into());
        }
        here
    }

    fn insert(&mut self, work: &str, by: &str, figure: Value) {
        let figures = self.figures.entry(work).or_insert_with(|| json!({}));
        figures[by] = figure;
    }

    fn row(&mut self, work: &str, by: &str, measured: &[Times; 2], bare: &[Times; 2]) {
        let ([alone, two], [bare_alone, bare_two]) = (measured, bare);
        let slower = alone.median().as_secs_f64() / bare_alone.median().as_secs_f64();
        let fewer = bare_two.per_second() / two.per_second();
        self.insert(
            work,
            by,
            json!({
                "median_us": microseconds(alone.median()),
                "per_second_at_two": two.per_second().round(),
                "ratio_to_bare": (slower * 100.0).round() / 100.0,
            }),
        );
        let gives = Peer::ALL.into_iter().find(|peer| peer.program() == by).map(Peer::isolation);
        let (median, rate) = (milliseconds(alone.median()), per_second(two.per_second()));
        let gives = gives.unwrap_or_default().to_owned();
        let name = format!("{}, {by}", work.replace('_', " "));
        self.table.row([name, median, times(slower), rate, times(fewer), gives]);
    }

    fn failed(&mut self, work: &str, peer: Peer, error: &anyhow::Error) {
        eprintln!("{} does not run {work} here: {error:#}", peer.program());
        self.insert(work, peer.program(), format!("{error:#}").into());
    }

    fn print(self) {
        eprint!("{}", self.table);
        println!(
            "{}",
            json!({
                "bench": "peers",
                "commit": support::commit(),
                "machine": support::machine(),
                "versions": self.versions,
                "figures": self.figures,
            })
        );
    }
}
