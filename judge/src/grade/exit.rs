//! What the exit code of a problem's checker or interactor means. Pure.
//!
//! Anything that a convention does not know is a failure of the checker, and never a verdict.

use super::checker::{CheckerFault, Marks};

/// A convention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convention {
    /// 0 accepted, 1 wrong.
    Default,
    /// 0 accepted, 1 wrong, 2 wrong by its form, 3 a failure of the problem, 7 partial, with a line
    /// `points N` on standard error, N of the test's points.
    Testlib,
    /// As testlib, but for 7 a line `partial A/B`.
    Coci,
    /// 0 accepted; 1 wrong, or partial where the output ends in two lines with numbers A and B.
    Peg,
    /// A Python module of DMOJ behind our driver: 0, and an object with `passed`, `points` and
    /// `feedback` on standard output.
    Module,
}

impl Convention {
    /// The convention of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "default" => Self::Default,
            "testlib" => Self::Testlib,
            "coci" => Self::Coci,
            "peg" => Self::Peg,
            _ => return None,
        })
    }

    /// The arguments of a checker.
    #[must_use]
    pub fn checker_args(self) -> &'static str {
        match self {
            Self::Default | Self::Testlib | Self::Coci | Self::Module => {
                "{input} {output} {answer}"
            }
            Self::Peg => "{output} {answer} {input}",
        }
    }

    /// The arguments of an interactor.
    #[must_use]
    pub fn interactor_args(self) -> &'static str {
        match self {
            Self::Default | Self::Peg | Self::Module => "{input} {answer}",
            Self::Testlib | Self::Coci => "{input} {output} {answer}",
        }
    }

    /// What the program says with this exit code. `feedback` is what it says to the author.
    ///
    /// # Errors
    /// It says that it failed, or nothing that we understand.
    pub fn marks(self, said: &Said<'_>) -> Result<Marks, CheckerFault> {
        let feedback = said.feedback.filter(|text| !text.trim().is_empty()).map(str::to_owned);
        let marks = |accepted, fraction| Marks { accepted, fraction, feedback: feedback.clone() };
        match (self, said.code) {
            (Self::Module, 0) => module(said),
            (Self::Module, code) => {
                Err(CheckerFault(format!("exit code {code}: {}", tail(said.stderr))))
            }
            (_, 0) => Ok(marks(true, 1.0)),
            (Self::Peg, 1) => Ok(match last_two_numbers(said.stdout) {
                Some((earned, total)) if earned > 0.0 && total > 0.0 => {
                    marks(true, (earned / total).min(1.0))
                }
                Some(_) | None => marks(false, 0.0),
            }),
            (_, 1) => Ok(marks(false, 0.0)),
            (Self::Testlib | Self::Coci, 2) => {
                let feedback = feedback.or_else(|| Some("Presentation Error".to_owned()));
                Ok(Marks { accepted: false, fraction: 0.0, feedback })
            }
            (Self::Testlib | Self::Coci, 3) => {
                Err(CheckerFault(format!("it gave up: {}", head(said.stderr))))
            }
            (Self::Testlib, 7) => match points(said.stderr) {
                Some(points) if said.points > 0.0 && points <= said.points => {
                    Ok(marks(true, points / said.points))
                }
                Some(0.0) => Ok(marks(true, 0.0)),
                Some(points) => Err(CheckerFault(format!("{points} of {} points", said.points))),
                None => Err(CheckerFault("partial points without a line `points N`".to_owned())),
            },
            (Self::Coci, 7) => match fraction(said.stderr) {
                Some(fraction) if fraction <= 1.0 => Ok(marks(true, fraction)),
                Some(_) => Err(CheckerFault("more than all points".to_owned())),
                None => Err(CheckerFault("partial points without a line `partial A/B`".to_owned())),
            },
            (Self::Default | Self::Testlib | Self::Coci | Self::Peg, code) => {
                Err(CheckerFault(format!("exit code {code}: {}", head(said.stderr))))
            }
        }
    }
}

fn module(said: &Said<'_>) -> Result<Marks, CheckerFault> {
    #[derive(serde::Deserialize)]
    struct Report {
        passed: bool,
        points: f64,
        feedback: String,
    }
    let report: Report = serde_json::from_str(said.stdout)
        .map_err(|error| CheckerFault(format!("a report that cannot be read: {error}")))?;
    let whole = f64::from(u8::from(report.passed));
    let fraction = if said.points > 0.0 { report.points / said.points } else { whole };
    if !(0.0..=1.0).contains(&fraction) {
        return Err(CheckerFault(format!("{} of {} points", report.points, said.points)));
    }
    let feedback = Some(report.feedback).filter(|text| !text.is_empty());
    Ok(Marks { accepted: report.passed, fraction, feedback })
}

/// What a checker said at its end.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: &'a str,
    /// What it wrote to standard error.
    pub stderr: &'a str,
    /// The part of that which is for the author.
    pub feedback: Option<&'a str>,
    /// What the test is worth.
    pub points: f64,
}

fn head(text: &str) -> String {
    text.trim().chars().take(300).collect()
}

fn tail(text: &str) -> String {
    let text = text.trim();
    text.lines().last().unwrap_or_default().chars().take(300).collect()
}

/// `N` of a line `points N`.
fn points(stderr: &str) -> Option<f64> {
    stderr.split('\n').find_map(|line| natural(line.strip_prefix("points ")?))
}

/// `A/B` of a line `partial A/B`, where B is not 0.
fn fraction(stderr: &str) -> Option<f64> {
    stderr.split('\n').find_map(|line| {
        let (a, b) = line.strip_prefix("partial ")?.split_once('/')?;
        let (a, b) = (natural(a)?, natural(b)?);
        (b > 0.0).then_some(a / b)
    })
}

fn last_two_numbers(stdout: &str) -> Option<(f64, f64)> {
    let lines: Vec<&str> = stdout.lines().collect();
    lines.windows(2).find_map(|pair| Some((natural(pair[0])?, natural(pair[1])?)))
}

fn natural(text: &str) -> Option<f64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(convention: Convention, code: i32, stderr: &str) -> Option<(bool, f64)> {
        let said = Said { code, stdout: stderr, stderr, feedback: None, points: 10.0 };
        convention.marks(&said).ok().map(|marks| (marks.accepted, marks.fraction))
    }

    #[test]
    fn each_convention_has_its_own_codes() {
        use Convention::{Coci, Default, Peg, Testlib};
        for convention in [Default, Testlib, Coci, Peg] {
            assert_eq!(marks(convention, 0, ""), Some((true, 1.0)));
            assert_eq!(marks(convention, 1, ""), Some((false, 0.0)));
            assert_eq!(marks(convention, 4, ""), None);
            assert_eq!(marks(convention, 139, ""), None);
        }
        for convention in [Default, Peg] {
            assert_eq!(marks(convention, 2, ""), None);
            assert_eq!(marks(convention, 7, "points 5"), None);
        }
        assert_eq!(marks(Testlib, 2, ""), Some((false, 0.0)));
        assert_eq!(marks(Testlib, 3, "fail"), None);
        assert_eq!(marks(Testlib, 7, "x\npoints 5\n"), Some((true, 0.5)));
        assert_eq!(marks(Testlib, 7, "points 11"), None);
        assert_eq!(marks(Testlib, 7, "points 0"), Some((true, 0.0)));
        assert_eq!(marks(Testlib, 7, "no points 5"), None);
        assert_eq!(marks(Coci, 7, "partial 1/4"), Some((true, 0.25)));
        assert_eq!(marks(Coci, 7, "partial 1/0"), None);
        assert_eq!(marks(Coci, 7, "partial 5/4"), None);
        assert_eq!(marks(Coci, 7, "points 5"), None);
        assert_eq!(marks(Peg, 1, "1\n2\n"), Some((true, 0.5)));
        assert_eq!(marks(Peg, 1, "0\n2\n"), Some((false, 0.0)));
    }

    #[test]
    fn a_presentation_error_is_wrong_and_says_so() {
        let said = Said { code: 2, stdout: "", stderr: "", feedback: None, points: 1.0 };
        let marks = Convention::Testlib.marks(&said).unwrap();
        assert_eq!(marks.feedback.as_deref(), Some("Presentation Error"));
    }
}
