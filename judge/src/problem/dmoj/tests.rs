//! Whole folders, right and wrong.

use super::super::{Case, Data, Judging};
use super::*;
use crate::grade::Checker;
use crate::grade::dmoj::{Dmoj, ErrorMode};
use crate::grade::exit::Convention;
use crate::language::Languages;
use crate::limits::PROGRAM_LIMITS_MAX;

fn read_files(files: &[(&str, &str)]) -> Result<Problem, DmojError> {
    let languages = Languages::resolve(|_| true).unwrap();
    let limits_max = &PROGRAM_LIMITS_MAX;
    let context = Context { languages: &languages, limits_max, testlib: None, repositories: None };
    let mut all = Files::default();
    for (name, content) in files {
        all.add((*name).to_owned(), content.as_bytes().to_vec()).unwrap();
    }
    read(all, &context)
}

/// A problem with `init` and the files that most of them name.
fn read_init(init: &str) -> Result<Problem, DmojError> {
    let files = [
        ("init.yml", init),
        ("1.in", "1\r\n2"),
        ("1.out", "3"),
        ("2.in", ""),
        ("2.out", "x\n"),
        ("gen.py", "print(1)"),
        ("check.py", "def check(*a, **k): return True"),
        ("check.cpp", "int main() {}"),
        ("grader.c", "int main() {}"),
        ("solve.h", "int solve();"),
    ];
    read_files(&files)
}

fn cases(problem: &Problem) -> &[Case] {
    let Task::Stdio(stdio) = &problem.task else { panic!("no test of standard input") };
    &stdio.cases
}

fn helpers(problem: &Problem) -> usize {
    let Task::Stdio(stdio) = &problem.task else { panic!("no test of standard input") };
    stdio.helpers.len()
}

/// The findings: line, key.
fn findings(init: &str) -> Vec<(usize, String)> {
    let error = read_init(init).unwrap_err();
    error.findings.into_iter().map(|finding| (finding.line, finding.key)).collect()
}

#[test]
fn line_ends_are_made_uniform_unless_the_data_is_binary() {
    let data = |binary: &str| {
        let problem =
            read_init(&format!("{binary}test_cases:\n- {{in: 1.in, out: 1.out}}\n")).unwrap();
        match &cases(&problem)[0].data {
            Data::Given { stdin, answer } => (stdin.clone(), answer.clone()),
            Data::Generated { .. } => panic!("it is given"),
        }
    };
    assert_eq!(data(""), ("1\n2\n".into(), "3\n".into()));
    assert_eq!(data("binary_data: true\n"), ("1\r\n2".into(), "3".into()));
}

#[test]
fn what_a_case_lacks_comes_from_its_batch_and_then_from_the_root() {
    let init = "points: 7\nchecker: easy\noutput_limit_length: 10\ntest_cases:\n\
        - {in: 1.in, out: 1.out}\n\
        - batched:\n  - {in: 1.in, out: 1.out}\n  - {in: 2.in, out: 2.out, checker: identical}\n  \
        points: 3\n  checker: {name: floats, args: {precision: 3, error_mode: relative}}\n";
    let problem = read_init(init).unwrap();
    let checkers: Vec<_> = cases(&problem)
        .iter()
        .map(|case| {
            let Judging::Checker(Checker::Dmoj(checker)) = &case.judging else {
                panic!("{:?}", case.judging)
            };
            checker.clone()
        })
        .collect();
    let floats = Dmoj::Floats { precision: 3, error_mode: ErrorMode::Relative };
    assert_eq!(checkers, [Dmoj::Easy, floats, Dmoj::Identical { pe_allowed: true }]);
    let points: Vec<_> = problem.groups.iter().map(|group| group.points).collect();
    assert_eq!(points, [7.0, 3.0]);
    assert!(cases(&problem).iter().all(|case| case.output_max == Some(10)));
}

#[test]
fn batches_depend_on_earlier_ones_by_number() {
    let case = "{in: 1.in, out: 1.out}";
    let init = format!(
        "test_cases:\n- {case}\n- batched: [{case}]\n- batched: [{case}, {case}]\n  \
         dependencies: [1]\n  short_circuit: false\n"
    );
    let problem = read_init(&init).unwrap();
    assert_eq!(problem.groups[2].depends_on, [1]);
    assert_eq!(problem.groups[2].tests, 2..4);
    assert!(!problem.groups[2].stop_early && problem.groups[1].stop_early);
    for (dependencies, line) in [("[1]", 2), ("[2]", 2), ("[0]", 2), ("[x]", 2)] {
        let init = format!("test_cases:\n- {{batched: [{case}], dependencies: {dependencies}}}\n");
        let found = findings(&init);
        assert_eq!(found, [(line, "test_cases[0].dependencies".to_owned())], "{dependencies}");
    }
}

#[test]
fn pretests_come_first_and_are_worth_nothing() {
    let case = "{in: 1.in, out: 1.out}";
    let init = format!("test_cases: [{case}]\npretest_test_cases: [{case}]\n");
    let problem = read_init(&init).unwrap();
    let points: Vec<_> = problem.tests.iter().map(|test| (test.points, test.stops_all)).collect();
    assert_eq!(points, [(0.0, true), (1.0, false)]);
}

#[test]
fn generators_are_made_once_and_run_where_something_is_missing() {
    let init = "generator: gen.py\ntest_cases:\n- {generator_args: [1, a]}\n- {generator_args: [2]}\n\
        - {in: 1.in, out: 1.out}\n- {in: 1.in}\n- {out: 1.out}\n";
    let problem = read_init(init).unwrap();
    assert_eq!(helpers(&problem), 1);
    let generated: Vec<_> = cases(&problem)
        .iter()
        .map(|case| match &case.data {
            Data::Generated { args, stdin, answer, .. } => {
                Some((args.clone(), stdin.len(), answer.is_some()))
            }
            Data::Given { .. } => None,
        })
        .collect();
    let args = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
    assert_eq!(generated[0], Some((args(&["1", "a"]), 0, false)));
    assert_eq!(generated[2], None);
    assert_eq!(generated[3], Some((args(&[]), 4, false)));
    assert_eq!(generated[4], Some((args(&[]), 0, true)));
    let map = "generator: {source: gen.py, args: [9], time_limit: 1.5, memory_limit: 65536}\n\
        test_cases:\n- {}\n- {generator_args: [1]}\n";
    let problem = read_init(map).unwrap();
    let Task::Stdio(stdio) = &problem.task else { panic!("no stdio") };
    assert_eq!(stdio.helpers[0].limits.memory.0, 64 << 20);
    assert!(matches!(&stdio.cases[0].data, Data::Generated { args, .. } if args == &["9"]));
    assert!(matches!(&stdio.cases[1].data, Data::Generated { args, .. } if args == &["1"]));
}

#[test]
fn checkers_may_be_programs_or_python_files() {
    let with = |checker: &str| {
        let init = format!("checker: {checker}\ntest_cases:\n- {{in: 1.in, out: 1.out}}\n");
        read_init(&init).map(|problem| cases(&problem)[0].judging.clone())
    };
    let bridged = "{name: bridged, args: {files: check.cpp, lang: CPP17, type: testlib}}";
    let Ok(Judging::Program(used)) = with(bridged) else { panic!("no program") };
    assert_eq!(used.convention, Convention::Testlib);
    assert_eq!(used.args, ["{input}", "{output}", "{answer}"]);
    let peg = "{name: bridged, args: {files: [check.cpp], type: peg}}";
    let Ok(Judging::Program(used)) = with(peg) else { panic!("no program") };
    assert_eq!(used.args, ["{output}", "{answer}", "{input}"]);
    let format = "{name: bridged, args: {files: check.cpp, \
        args_format_string: '{output_file} -x'}}";
    let Ok(Judging::Program(used)) = with(format) else { panic!("no program") };
    assert_eq!(used.args, ["{output}", "-x"]);
    let Ok(Judging::Program(used)) = with("check.py") else { panic!("no program") };
    assert_eq!(used.convention, Convention::Module);
    for broken in [
        "nothing",
        "missing.py",
        "{args: {}}",
        "[a]",
        "{name: bridged, args: {files: missing.cpp}}",
        "{name: bridged, args: {files: check.cpp, type: x}}",
        "{name: bridged, args: {files: check.cpp, colour: red}}",
        "{name: floats, args: {precision: x}}",
    ] {
        let error = with(broken).unwrap_err();
        assert_eq!(error.findings[0].line, 1, "{broken}: {error}");
    }
}

#[test]
fn interactors_and_signatures_are_read() {
    let init = "interactive: {files: check.cpp, type: testlib, preprocessing_time: 1}\n\
        test_cases:\n- {in: 1.in, out: 1.out}\n";
    let problem = read_init(init).unwrap();
    let Judging::Interactor(used) = &cases(&problem)[0].judging else { panic!("no interactor") };
    assert_eq!(used.args, ["{input}", "{output}", "{answer}"]);
    assert_eq!(problem.slots(), 2);
    let init = "signature_grader: {entry: grader.c, header: solve.h}\n\
        test_cases:\n- {in: 1.in, out: 1.out}\n";
    let Task::Stdio(stdio) = read_init(init).unwrap().task else { panic!("no stdio") };
    let signature = stdio.signature.unwrap();
    assert_eq!((signature.header.0.as_str(), signature.allow_main), ("solve.h", false));
}

#[test]
fn everything_that_is_wrong_is_found_with_its_line() {
    let init = "chekcer: standard\ntest_cases:\n- {in: missing, out: 1.out}\n- 3\n\
        - {in: 1.in, out: 1.out, points: -1}\n- batched:\n  - batched: []\n\
        short_circuit: maybe\nsymlinks: {../x: 1.in, y: missing}\n";
    let found = findings(init);
    for expected in [
        (1, "chekcer"),
        (3, "test_cases[0].in"),
        (4, "test_cases[1]"),
        (5, "test_cases[2].points"),
        (7, "test_cases[3].batched[0]"),
        (8, "test_cases[3].short_circuit"),
        (9, "test_cases[0].symlinks"),
    ] {
        let expected = (expected.0, expected.1.to_owned());
        assert!(found.contains(&expected), "{expected:?} is not in {found:?}");
    }
}

#[test]
fn a_folder_that_is_no_problem_says_why() {
    let said = |files: &[(&str, &str)]| read_files(files).unwrap_err().to_string();
    assert_eq!(said(&[]), "init.yml: the folder has no init.yml");
    assert!(said(&[("init.yml", "")]).contains("is empty"));
    assert!(said(&[("init.yml", "- a")]).contains("init.yml:1: must be a map"));
    assert!(said(&[("init.yml", "a: [")]).contains("init.yml:"));
    assert!(said(&[("init.yml", "test_cases: []")]).contains("no test cases"));
    assert!(said(&[("init.yml", "points: 1")]).contains("there must be an `archive`"));
    assert!(said(&[("init.yml", "archive: x.zip")]).contains("init.yml:1: archive"));
    assert!(said(&[("init.yml", "custom_judge: x.py\ntest_cases: [{}]")]).contains("custom_judge"));
}

#[test]
fn an_archive_without_a_list_is_searched() {
    use std::io::Write as _;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for name in ["a.1-1.in", "a.1-1.out", "a.1-2.in", "a.1-2.out", "a.2-1.in", "a.2-1.out"] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(name.as_bytes()).unwrap();
    }
    let archive = zip.finish().unwrap().into_inner();
    let read_with = |init: &str| {
        let languages = Languages::resolve(|_| true).unwrap();
        let limits_max = &PROGRAM_LIMITS_MAX;
        let context =
            Context { languages: &languages, limits_max, testlib: None, repositories: None };
        let mut files = Files::default();
        files.add("init.yml".to_owned(), init.as_bytes().to_vec()).unwrap();
        files.add("d.zip".to_owned(), archive.clone()).unwrap();
        read(files, &context)
    };
    let problem = read_with("archive: d.zip\ntest_cases: {case_points: [30, 70]}\n").unwrap();
    let groups: Vec<_> =
        problem.groups.iter().map(|group| (group.tests.clone(), group.points)).collect();
    assert_eq!(groups, [(0..2, 30.0), (2..3, 70.0)]);
    let few = read_with("archive: d.zip\ntest_cases: {case_points: [30]}\n").unwrap_err();
    assert!(few.to_string().contains("fewer entries"), "{few}");
}
