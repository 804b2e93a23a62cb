//! What a launch costs: from `RunSpec` to `Outcome` through the public API, isolation complete, next
//! to a bare start of the same program in the same run. Prints one JSON line, and a table with the
//! goals to standard error. With an argument, only programs that have it in their name.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its figures")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use sandbox::SlotPool;
use serde_json::{Map, Value, json};
use support::slots::{self, PYTHON, Start, Work, side_by_side};
use support::table::{Table, milliseconds, per_second, times};
use support::{Times, microseconds};

/// Workers at the same time: alone, and two that contend.
const WORKERS: [usize; 2] = [1, 2];
/// Runs of a worker in a row whose first and last tenth are compared.
const RUNS_IN_A_ROW: usize = 10_000;

const HELLO: &str = "#include <iostream>\nint main() { std::cout << \"hello\" << std::endl; }\n";
const PASS: (&str, &str) = ("main.py", "pass\n");
/// Loads both libraries, uses them, and would fail on a wrong answer.
const SCIENCE: (&str, &str) = (
    "science.py",
    "import numpy, sympy\n\
     x = sympy.Symbol('x')\n\
     assert sympy.expand((x + 1) ** 3).coeff(x, 2) == 3\n\
     assert numpy.linalg.det(numpy.eye(3) * 2).round() == 8\n",
);

/// What is loaded before [`SCIENCE`] starts: the last is what sympy itself loads at the first power of
/// a sum.
const SCIENCE_MODULES: [&str; 3] = ["numpy", "sympy", "sympy.tensor.tensor"];

/// A program with its bare baseline, and the ways to run it in a slot.
struct Program {
    name: &'static str,
    bare: (PathBuf, Vec<String>),
    bare_runs: usize,
    runs: usize,
    /// `None`: its libraries are not installed.
    rows: Option<Vec<Row>>,
}

/// One way to run a program in a slot.
struct Row {
    name: &'static str,
    goal: Option<Goal>,
    work: Work,
}

/// What is to be reached.
struct Goal {
    /// Median at one worker, at most.
    median: Duration,
    /// Runs per second at two workers, at least.
    per_second: u32,
}

impl Goal {
    const fn new(microseconds: u64, per_second: u32) -> Option<Self> {
        Some(Self { median: Duration::from_micros(microseconds), per_second })
    }
}

/// The figures, for machines and for people.
struct Report {
    figures: Map<String, Value>,
    table: Table,
}

fn main() -> Result<()> {
    sandbox::resident_entry();
    let folder = tempfile::tempdir()?;
    let mut programs = programs(folder.path())?;
    // The first argument may be one that `cargo bench` adds.
    if let Some(wanted) = std::env::args().skip(1).find(|argument| !argument.starts_with('-')) {
        programs.retain(|program| program.name.contains(&wanted));
    }
    let mut figures = Map::new();
    let mut table =
        Table::new(&["work", "workers", "goal", "figure", "", "bare", "ratio", "99 % below"]);
    for workers in WORKERS {
        let mut report = Report { figures: Map::new(), table };
        measure(workers, &programs, &mut report)?;
        figures.insert(format!("workers_{workers}"), report.figures.into());
        table = report.table;
    }
    eprint!("{table}");
    let (machine, commit) = (support::machine(), support::commit());
    println!(
        "{}",
        json!({"bench": "slot_cycle", "commit": commit, "machine": machine, "figures": figures})
    );
    Ok(())
}

/// Everything that is measured, its files in `folder`.
fn programs(folder: &Path) -> Result<Vec<Program>> {
    let trivial = folder.join("true");
    support::static_true(&trivial)?;
    let hello = folder.join("hello");
    support::compile("c++", &["-O2"], HELLO, &hello)?;
    let (name, source) = SCIENCE;
    let science = folder.join(name);
    std::fs::write(&science, source)?;
    let installed = support::bare(Path::new(PYTHON), &["-c", "import numpy, sympy"]).is_ok();
    let python = |arguments: &[&str]| {
        (PathBuf::from(PYTHON), arguments.iter().map(|&argument| argument.to_owned()).collect())
    };
    Ok(vec![
        Program {
            name: "static_true",
            rows: Some(rows_of_true(&trivial)?),
            bare: (trivial, Vec::new()),
            bare_runs: 5000,
            runs: 5000,
        },
        Program {
            name: "cpp_hello",
            rows: Some(vec![Row {
                name: "cpp_hello",
                goal: Goal::new(1600, 1100),
                work: Work::installed(&hello, 1)?,
            }]),
            bare: (hello, Vec::new()),
            bare_runs: 1000,
            runs: 1000,
        },
        Program {
            name: "python_pass",
            rows: Some(rows_of_pass()?),
            bare: python(&["-c", "pass"]),
            bare_runs: 200,
            runs: 400,
        },
        Program {
            name: "python_numpy_sympy",
            rows: if installed { Some(vec![row_of_science()?]) } else { None },
            bare: python(&[science.to_str().context("no text")?]),
            bare_runs: 10,
            runs: 400,
        },
    ])
}

fn rows_of_true(program: &Path) -> Result<Vec<Row>> {
    Ok(vec![
        Row { name: "static_true", goal: Goal::new(300, 5000), work: Work::brought(program)? },
        Row {
            name: "static_true_in_one_lease",
            goal: Goal::new(150, 9000),
            work: Work::installed(program, 10)?,
        },
    ])
}

fn rows_of_pass() -> Result<Vec<Row>> {
    let (name, source) = PASS;
    let work = |start| Work::python(name, source, start);
    Ok(vec![
        Row { name: "python_pass", goal: None, work: work(Start::Cold)? },
        Row { name: "python_pass_warm", goal: Goal::new(1000, 1500), work: work(Start::Warm)? },
    ])
}

fn row_of_science() -> Result<Row> {
    let work = Work::python(SCIENCE.0, SCIENCE.1, Start::Warm)?;
    Ok(Row { name: "python_numpy_sympy_warm", goal: Goal::new(5000, 350), work })
}

fn measure(workers: usize, programs: &[Program], report: &mut Report) -> Result<()> {
    let warm = vec![slots::warmup(PASS.0, &[]), slots::warmup(SCIENCE.0, &SCIENCE_MODULES)];
    for program in programs {
        let Some(rows) = &program.rows else {
            report.absent(workers, program.name);
            continue;
        };
        let pool = slots::pool(workers, warm.clone())?;
        let (path, arguments) = &program.bare;
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let bare = side_by_side(workers, |_| {
            Times::of(program.bare_runs, || support::bare(path, &arguments))
        })?;
        report.figures.insert(format!("{}_bare", program.name), bare.report(None));
        for row in rows {
            let slot = side_by_side(workers, |_| {
                let mut run = row.work.start(&pool)?;
                run()?;
                Times::of(program.runs, run)
            })?;
            report.row(workers, row, &slot, &bare);
        }
        if program.name == "static_true" {
            let work = &rows.first().context("nothing to run")?.work;
            run_in_a_row(workers, work, &pool, report)?;
        }
        slots::close(&pool)?;
    }
    Ok(())
}

/// Many runs in a row: do they get slower, does the supervisor grow?
fn run_in_a_row(workers: usize, work: &Work, pool: &SlotPool, report: &mut Report) -> Result<()> {
    let before = support::resident_set()?;
    let all = side_by_side(workers, |_| Times::of(RUNS_IN_A_ROW, work.start(pool)?))?;
    let [first, last] = all.tenths();
    // Not what is asked for.
    drop(all);
    let after = support::resident_set()?;
    let ratio = last.as_secs_f64() / first.as_secs_f64();
    report.figures.insert(
        "runs_in_a_row".to_owned(),
        json!({
            "runs": workers * RUNS_IN_A_ROW,
            "first_tenth_median_us": microseconds(first),
            "last_tenth_median_us": microseconds(last),
            "last_to_first": (ratio * 1000.0).round() / 1000.0,
            "resident_set_bytes_before": before,
            "resident_set_bytes_after": after,
        }),
    );
    let name = format!("{RUNS_IN_A_ROW} runs in a row, last tenth");
    let cells = [milliseconds(last), reached(ratio <= 1.05), milliseconds(first), times(ratio)];
    report.table.row([name, workers.to_string(), "x1.05".to_owned()].into_iter().chain(cells));
    let kibibytes = |bytes: u64| format!("{} KiB", bytes >> 10);
    #[expect(clippy::cast_precision_loss, reason = "some mebibytes")]
    let growth = after as f64 / before as f64;
    let cells = [kibibytes(after), reached(growth <= 1.05), kibibytes(before), times(growth)];
    let name = "  resident set after, before".to_owned();
    report.table.row([name, workers.to_string(), "flat".to_owned()].into_iter().chain(cells));
    Ok(())
}

fn reached(yes: bool) -> String {
    if yes { "reached" } else { "missed" }.to_owned()
}

impl Report {
    fn absent(&mut self, workers: usize, name: &str) {
        self.figures.insert(name.to_owned(), "not installed".into());
        let cells = [name, &workers.to_string(), "", "not installed"];
        self.table.row(cells.map(str::to_owned));
    }

    /// Alone the median counts, side by side the rate.
    fn row(&mut self, workers: usize, row: &Row, slot: &Times, bare: &Times) {
        self.figures.insert(row.name.to_owned(), slot.report(Some(bare)));
        let alone = workers == 1;
        let goal = row.goal.as_ref();
        let (goal, reached) = (
            goal.map_or_else(String::new, |goal| {
                if alone { milliseconds(goal.median) } else { format!("{}/s", goal.per_second) }
            }),
            goal.map_or_else(String::new, |goal| {
                reached(if alone {
                    slot.median() <= goal.median
                } else {
                    slot.per_second() >= f64::from(goal.per_second)
                })
            }),
        );
        let (figure, baseline, ratio) = if alone {
            let ratio = slot.median().as_secs_f64() / bare.median().as_secs_f64();
            (milliseconds(slot.median()), milliseconds(bare.median()), ratio)
        } else {
            let ratio = bare.per_second() / slot.per_second();
            (per_second(slot.per_second()), per_second(bare.per_second()), ratio)
        };
        let (name, slow) = (row.name.replace('_', " "), milliseconds(slot.quantile(0.99)));
        let cells =
            [name, workers.to_string(), goal, figure, reached, baseline, times(ratio), slow];
        self.table.row(cells);
    }
}
