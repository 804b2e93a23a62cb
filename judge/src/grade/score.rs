//! Which tests run, and what they earn together. Pure.
//!
//! Tests run in order. Within a group the tests after one that is not accepted are skipped where the
//! group says so; a group is skipped where one that it depends on did not pass; a test that stops all
//! ends everything. A group passes where all its tests are accepted, and earns the part of its points
//! that its worst test earns; what was skipped earns nothing.

use crate::problem::{Group, TestInfo};

/// What a test came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// Whether it was accepted.
    pub accepted: bool,
    /// The part of its points that it earned.
    pub fraction: f64,
}

/// Points of a submission.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Points {
    /// What it earned.
    pub earned: f64,
    /// What there was to earn.
    pub total: f64,
}

impl Points {
    /// The part that was earned; 0 where there was nothing to earn.
    #[must_use]
    pub fn fraction(self) -> f64 {
        if self.total > 0.0 { (self.earned / self.total).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// Whether the test at `at` is to be run, after those before it came to `marks` (`None`: skipped).
#[must_use]
pub fn is_due(groups: &[Group], tests: &[TestInfo], marks: &[Option<Mark>], at: usize) -> bool {
    let failed = |at: &usize| marks[*at].is_some_and(|mark| !mark.accepted);
    if (0..at).any(|before| tests[before].stops_all && failed(&before)) {
        return false;
    }
    let Some(group) = groups.iter().find(|group| group.tests.contains(&at)) else {
        return true;
    };
    let passed = |group: &usize| {
        groups[*group].tests.clone().all(|at| marks[at].is_some_and(|mark| mark.accepted))
    };
    group.depends_on.iter().all(passed)
        && !(group.stop_early && (group.tests.start..at).any(|before| failed(&before)))
}

/// What all tests together earned.
#[must_use]
pub fn points(groups: &[Group], marks: &[Option<Mark>]) -> Points {
    let mut points = Points::default();
    for group in groups {
        let worst = group
            .tests
            .clone()
            .map(|at| marks.get(at).copied().flatten().map_or(0.0, |mark| mark.fraction))
            .fold(1.0, f64::min);
        points.earned += group.points * worst;
        points.total += group.points;
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(tests: std::ops::Range<usize>, points: f64, depends_on: &[usize]) -> Group {
        Group { tests, points, depends_on: depends_on.to_vec(), stop_early: true }
    }

    /// Runs tests that come to these fractions; 1 is accepted.
    fn run(groups: &[Group], tests: &[TestInfo], fractions: &[f64]) -> (Vec<bool>, Points) {
        let mut marks = Vec::new();
        for (at, fraction) in fractions.iter().enumerate() {
            let due = is_due(groups, tests, &marks, at);
            let mark = Mark { accepted: *fraction >= 1.0, fraction: *fraction };
            marks.push(due.then_some(mark));
        }
        (marks.iter().map(Option::is_some).collect(), points(groups, &marks))
    }

    #[test]
    fn a_group_stops_at_its_first_failure_and_others_go_on() {
        let groups = [group(0..3, 10.0, &[]), group(3..4, 5.0, &[])];
        let tests = vec![TestInfo::default(); 4];
        let (ran, points) = run(&groups, &tests, &[1.0, 0.0, 1.0, 1.0]);
        assert_eq!(ran, [true, true, false, true]);
        assert_eq!(points, Points { earned: 5.0, total: 15.0 });
    }

    #[test]
    fn a_group_waits_for_what_it_depends_on() {
        let groups = [group(0..1, 1.0, &[]), group(1..2, 1.0, &[0]), group(2..3, 1.0, &[1])];
        let tests = vec![TestInfo::default(); 3];
        assert_eq!(run(&groups, &tests, &[1.0, 1.0, 1.0]).0, [true, true, true]);
        assert_eq!(run(&groups, &tests, &[1.0, 0.0, 1.0]).0, [true, true, false]);
        // A group that was skipped did not pass.
        assert_eq!(run(&groups, &tests, &[0.0, 1.0, 1.0]).0, [true, false, false]);
    }

    #[test]
    fn a_failed_pretest_stops_everything() {
        let groups = [group(0..1, 0.0, &[]), group(1..2, 5.0, &[])];
        let pretest = TestInfo { stops_all: true, ..TestInfo::default() };
        let tests = [pretest, TestInfo::default()];
        let (ran, points) = run(&groups, &tests, &[0.0, 1.0]);
        assert_eq!((ran, points.earned), (vec![true, false], 0.0));
        assert_eq!(run(&groups, &tests, &[1.0, 1.0]).1.fraction(), 1.0);
    }

    #[test]
    fn the_worst_test_decides_what_a_group_earns() {
        let mut all = group(0..2, 10.0, &[]);
        all.stop_early = false;
        let tests = vec![TestInfo::default(); 2];
        let (_, points) = run(&[all], &tests, &[0.5, 1.0]);
        assert_eq!(points, Points { earned: 5.0, total: 10.0 });
        assert_eq!(Points::default().fraction(), 0.0);
    }
}
