//! The same submissions judged by DMOJ's judge, where it is installed: `dmoj-cli` of the package `dmoj`
//! on PyPI, found in `PATH` or named by `DMOJ_CLI`. It grades one submission after the other, so there
//! are as many judges as there are slots.

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Item;

/// The installed judge.
#[derive(Debug)]
pub(crate) struct Dmoj(PathBuf);

impl Dmoj {
    /// `None` where it is not installed.
    pub(crate) fn find() -> Option<Self> {
        if let Some(named) = std::env::var_os("DMOJ_CLI") {
            return Some(Self(named.into()));
        }
        let path = std::env::var_os("PATH")?;
        let program = std::env::split_paths(&path).map(|folder| folder.join("dmoj-cli"));
        program.into_iter().find(|program| program.is_file()).map(Self)
    }

    /// How many submissions of one kind so many judges grade in a second. All must be accepted.
    ///
    /// # Errors
    /// A judge does not start, or says something else.
    pub(crate) fn per_second(&self, item: &Item, judges: usize, time: Duration) -> Result<f64> {
        let folder = tempfile::tempdir()?;
        let mut desks = Vec::new();
        for number in 0..judges {
            desks.push(Desk::new(&self.0, folder.path(), number, item)?);
        }
        // The first of each starts what is started once.
        for desk in &mut desks {
            desk.judge(item)?;
        }
        let begun = Instant::now();
        let counts: Result<Vec<u32>> = std::thread::scope(|scope| {
            let work = |mut desk: Desk| {
                let mut count = 0;
                while begun.elapsed() < time {
                    desk.judge(item)?;
                    count += 1;
                }
                anyhow::Ok(count)
            };
            let threads: Vec<_> =
                desks.into_iter().map(|desk| scope.spawn(move || work(desk))).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Result<u32>>| {
                thread.join().ok().context("a judge's thread panicked")?
            };
            threads.into_iter().map(join).collect()
        });
        let count: u32 = counts?.iter().sum();
        Ok(f64::from(count) / begun.elapsed().as_secs_f64())
    }
}

/// One judge and what it is told; ended when dropped.
struct Desk {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    folder: PathBuf,
    language: &'static str,
    judged: u32,
}

impl Desk {
    fn new(program: &Path, folder: &Path, number: usize, item: &Item) -> Result<Self> {
        let language = match item.language.as_str() {
            "python" => "PY3",
            "cpp" => "CPP17",
            other => bail!("DMOJ is not asked for {other}"),
        };
        let folder = folder.join(number.to_string());
        let problem = folder.join("problems/work");
        std::fs::create_dir_all(&problem)?;
        let mut init = String::from("test_cases:\n");
        for (at, (stdin, stdout)) in item.tests.iter().enumerate() {
            std::fs::write(problem.join(format!("{at}.in")), stdin)?;
            std::fs::write(problem.join(format!("{at}.out")), stdout)?;
            init.push_str(&format!("- {{in: {at}.in, out: {at}.out, points: 1}}\n"));
        }
        std::fs::write(problem.join("init.yml"), init)?;
        let config = folder.join("judge.yml");
        let folder_text = folder.display();
        std::fs::write(
            &config,
            format!(
                "id: bench\nkey: bench\nproblem_storage_globs: ['{folder_text}/problems/*']\n\
                 tempdir: '{folder_text}'\n\
                 runtime: {{python3: /usr/bin/python3, g++: /usr/bin/g++, g++17: /usr/bin/g++}}\n"
            ),
        )?;
        let mut child = Command::new(program)
            .args(["--no-ansi", "--skip-self-test", "-e", language, "--history"])
            .arg(folder.join("history"))
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .env("PYTHONUNBUFFERED", "1")
            .env("HOME", &folder)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        Ok(Self { child, lines, folder, language, judged: 0 })
    }

    /// Has one more text of the item graded. No two texts are equal: what is compiled is kept.
    fn judge(&mut self, item: &Item) -> Result<()> {
        self.judged += 1;
        let comment = if item.language == "python" { "#" } else { "//" };
        let source = self.folder.join("source");
        std::fs::write(&source, format!("{}\n{comment} {}\n", item.source, self.judged))?;
        let stdin = self.child.stdin.as_mut().context("no input")?;
        let language = self.language;
        writeln!(stdin, "submit work {language} {} -tl 10 -ml 262144", source.display())?;
        stdin.flush()?;
        let mut accepted = 0;
        for line in &mut self.lines {
            let line = line?;
            accepted += usize::from(line.contains(" AC "));
            if line.contains("Done grading") {
                ensure!(
                    accepted == item.tests.len(),
                    "{accepted} of {} accepted",
                    item.tests.len()
                );
                return Ok(());
            }
            ensure!(!line.contains("Failed compiling"), "a program does not compile");
        }
        bail!("the judge ended: {:?}", self.child.wait()?);
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
