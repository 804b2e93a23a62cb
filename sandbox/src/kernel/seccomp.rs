//! The system call filter: a policy read from `seccomp.json`, compiled to a binary search tree.
//!
//! A linear list of the same policy costs more at each call and at each start than everything else a
//! launch does; a tree over ranges of numbers needs about eight comparisons. Calls of a foreign
//! architecture end the process; x32 calls and numbers the policy does not know get its default.
//! Sources: `seccomp(2)`, `linux/filter.h`.

use std::collections::BTreeMap;
use std::io;
use std::str::FromStr;

use serde::Deserialize;
use syscalls::Sysno;

use super::process::in_child;

/// The policy, compiled into the program: what filters a run cannot be changed beside it.
const POLICY: &str = include_str!("../seccomp.json");
/// The policy of workers, which run modules in place of programs.
const POLICY_OF_WORKERS: &str = include_str!("../wasm/seccomp.json");

/// Why a policy is not one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    #[error("seccomp policy: {0}")]
    Parse(#[from] serde_json::Error),
    #[error("seccomp policy: no system call is named {0:?}")]
    Unknown(String),
    #[error("seccomp policy: {0:?} stands in two rules")]
    Twice(String),
    #[error("seccomp policy: no errno is named {0:?}")]
    Errno(String),
    #[error("seccomp policy: {0:?} is not a number")]
    Number(String),
    #[error("seccomp policy: the rule {0:?} decides nothing")]
    Empty(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    default: String,
    rules: Vec<Rule>,
    /// In place of the rules above for the same calls.
    #[serde(default)]
    rootless: Vec<Rule>,
    #[serde(default)]
    without_groups: Vec<Rule>,
}

/// What makes the policy stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    /// The resident has the program's identity.
    Rootless,
    /// No control group counts memory.
    WithoutGroups,
}

/// One row. It allows calls, refuses calls with an errno, or looks at one argument of one call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    reason: String,
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    refuse: Vec<String>,
    errno: Option<String>,
    syscall: Option<String>,
    #[serde(default)]
    argument: u8,
    /// Only these values of the argument's low half are allowed.
    only: Option<Vec<u32>>,
    /// All values of the argument's low half but these are allowed.
    refuse_values: Option<Vec<String>>,
    /// The argument is allowed where none of these bits is set.
    refuse_bits: Option<String>,
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Allow,
    Errno(u16),
    /// Looks at the low half of one argument: on a match the call gets `errno`.
    Argument {
        index: u8,
        test: Test,
        errno: u16,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    NotIn(Vec<u32>),
    In(Vec<u32>),
    AnyBit(u32),
}

/// A compiled filter, ready to be installed.
#[derive(Clone, Debug)]
pub(crate) struct Filter(Vec<libc::sock_filter>);

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const JUMP_ANY_BIT: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// Offsets in `struct seccomp_data`.
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;
const OFFSET_ARGUMENTS: u32 = 16;

/// `AUDIT_ARCH_X86_64`
const ARCHITECTURE: u32 = 0xc000_003e;
/// `__X32_SYSCALL_BIT`
const X32_BIT: u32 = 0x4000_0000;

impl Filter {
    /// The filter of all runs.
    pub(crate) fn of_runs(sections: &[Section]) -> Result<Self, PolicyError> {
        let (all, default) = table(sections)?;
        Ok(compile(&all, &default))
    }

    /// The filter of workers.
    pub(crate) fn of_workers() -> Result<Self, PolicyError> {
        let (all, default) = table_of(POLICY_OF_WORKERS, &[])?;
        Ok(compile(&all, &default))
    }

    /// The filter of runs in two parts, for a resident that makes calls which runs may not: the part
    /// that it installs on itself, and the part that each run adds.
    pub(crate) fn in_two_parts(sections: &[Section]) -> Result<(Self, Self), PolicyError> {
        let (mut first, default) = table(sections)?;
        let mut second = BTreeMap::new();
        for name in CALLS_OF_RESIDENT {
            let number = number_of(name)?;
            let of_runs = first.insert(number, Action::Allow).unwrap_or_else(|| default.clone());
            second.insert(number, of_runs);
        }
        Ok((compile(&first, &default), compile(&second, &Action::Allow)))
    }

    /// The instructions as they lie in memory (`linux/filter.h`).
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let bytes = |step: &libc::sock_filter| {
            let [code_low, code_high] = step.code.to_ne_bytes();
            let [a, b, c, d] = step.k.to_ne_bytes();
            [code_low, code_high, step.jt, step.jf, a, b, c, d]
        };
        self.0.iter().flat_map(bytes).collect()
    }

    /// The filter as the kernel takes it; it points into `self`.
    pub(crate) fn program(&self) -> libc::sock_fprog {
        // A longer one is refused by the kernel, as an empty one is.
        let len = u16::try_from(self.0.len()).unwrap_or(0);
        libc::sock_fprog { len, filter: self.0.as_ptr().cast_mut() }
    }

    /// Installs the filter on the calling thread and all it will start. Irrevocable; needs
    /// `no_new_privs`.
    pub(crate) fn install(&self) -> io::Result<()> {
        in_child::install(self).map_err(io::Error::from_raw_os_error)
    }
}

/// What a resident calls between its own start and a run's exec: to clone into a control group, whose
/// flags lie in memory, and to add the filter's second part.
const CALLS_OF_RESIDENT: [&str; 2] = ["clone3", "seccomp"];

/// The action of each system call that the policy names, and of all others.
fn table(sections: &[Section]) -> Result<(BTreeMap<u32, Action>, Action), PolicyError> {
    table_of(POLICY, sections)
}

fn table_of(
    policy: &str,
    sections: &[Section],
) -> Result<(BTreeMap<u32, Action>, Action), PolicyError> {
    let policy: Policy = serde_json::from_str(policy)?;
    let default = Action::Errno(errno(&policy.default)?);
    let mut all = actions(&policy.rules)?;
    for section in sections {
        all.extend(actions(match section {
            Section::Rootless => &policy.rootless,
            Section::WithoutGroups => &policy.without_groups,
        })?);
    }
    Ok((all, default))
}

/// The action of each system call that a rule names.
fn actions(rules: &[Rule]) -> Result<BTreeMap<u32, Action>, PolicyError> {
    let mut actions = BTreeMap::new();
    let mut insert = |name: &str, action: Action| {
        let number = number_of(name)?;
        match actions.insert(number, action) {
            None => Ok(()),
            Some(_) => Err(PolicyError::Twice(name.to_owned())),
        }
    };
    for rule in rules {
        for name in &rule.allow {
            insert(name, Action::Allow)?;
        }
        let refused = rule.errno.as_deref().map(errno).transpose()?;
        match (refused, &rule.syscall) {
            (Some(errno), Some(name)) => {
                let action = Action::Argument { index: rule.argument, test: rule.test()?, errno };
                insert(name, action)?;
            }
            (Some(errno), None) if !rule.refuse.is_empty() => {
                for name in &rule.refuse {
                    insert(name, Action::Errno(errno))?;
                }
            }
            (None, None) if !rule.allow.is_empty() => {}
            _ => return Err(PolicyError::Empty(rule.reason.clone())),
        }
    }
    Ok(actions)
}

impl Rule {
    fn test(&self) -> Result<Test, PolicyError> {
        match (&self.only, &self.refuse_values, &self.refuse_bits) {
            (Some(values), None, None) => Ok(Test::NotIn(values.clone())),
            (None, Some(values), None) => {
                let values = values.iter().map(|text| number(text)).collect::<Result<_, _>>()?;
                Ok(Test::In(values))
            }
            (None, None, Some(bits)) => Ok(Test::AnyBit(number(bits)?)),
            _ => Err(PolicyError::Empty(self.reason.clone())),
        }
    }
}

fn number(text: &str) -> Result<u32, PolicyError> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| PolicyError::Number(text.to_owned()))
}

fn number_of(name: &str) -> Result<u32, PolicyError> {
    let unknown = || PolicyError::Unknown(name.to_owned());
    let number = Sysno::from_str(name).map_err(|_| unknown())?.id();
    u32::try_from(number).map_err(|_| unknown())
}

fn errno(name: &str) -> Result<u16, PolicyError> {
    match name {
        "EPERM" => Ok(1),
        "EACCES" => Ok(13),
        "EINVAL" => Ok(22),
        "ENOSYS" => Ok(38),
        "EAFNOSUPPORT" => Ok(97),
        _ => Err(PolicyError::Errno(name.to_owned())),
    }
}

/// Joins neighbouring numbers with the same action: (first number, action), until the next entry.
fn ranges(actions: &BTreeMap<u32, Action>, default: &Action) -> Vec<(u32, Action)> {
    let mut ranges: Vec<(u32, Action)> = vec![(0, default.clone())];
    let mut push = |first: u32, action: &Action| match ranges.last_mut() {
        Some((_, last)) if last == action => {}
        Some((start, last)) if *start == first => *last = action.clone(),
        _ => ranges.push((first, action.clone())),
    };
    let mut next = 0;
    for (&number, action) in actions {
        if number > next {
            push(next, default);
        }
        push(number, action);
        next = number + 1;
    }
    push(next, default);
    ranges
}

fn compile(actions: &BTreeMap<u32, Action>, default: &Action) -> Filter {
    let mut code = vec![
        instruction(LOAD, 0, 0, OFFSET_ARCHITECTURE),
        instruction(JUMP_EQUAL, 1, 0, ARCHITECTURE),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
        instruction(LOAD, 0, 0, OFFSET_NUMBER),
    ];
    let refused = leaf(default);
    code.push(instruction(JUMP_AT_LEAST, 0, 1, X32_BIT));
    code.extend(refused);
    code.extend(tree(&ranges(actions, default)));
    Filter(code)
}

/// A search tree over ranges; the recursion's depth is the logarithm of their number.
fn tree(ranges: &[(u32, Action)]) -> Vec<libc::sock_filter> {
    match ranges {
        [] => Vec::new(),
        [(_, action)] => leaf(action),
        _ => {
            let (below, above) = ranges.split_at(ranges.len() / 2);
            let pivot = above[0].0;
            let (below, above) = (tree(below), tree(above));
            let mut code = match u8::try_from(below.len()) {
                Ok(skip) => vec![instruction(JUMP_AT_LEAST, skip, 0, pivot)],
                Err(_) => {
                    // Conditional jumps reach 255 instructions; a plain one reaches any.
                    let skip = u32::try_from(below.len()).unwrap_or(u32::MAX);
                    vec![instruction(JUMP_AT_LEAST, 0, 1, pivot), instruction(JUMP, 0, 0, skip)]
                }
            };
            code.extend(below);
            code.extend(above);
            code
        }
    }
}

/// The instructions that end with what the action returns.
fn leaf(action: &Action) -> Vec<libc::sock_filter> {
    let allowed = instruction(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW);
    let refused =
        |errno: u16| instruction(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | u32::from(errno));
    match action {
        Action::Allow => vec![allowed],
        Action::Errno(errno) => vec![refused(*errno)],
        Action::Argument { index, test, errno } => {
            // x86-64 is little-endian: the low half comes first.
            let mut code = vec![instruction(LOAD, 0, 0, OFFSET_ARGUMENTS + 8 * u32::from(*index))];
            let (first, second) = match test {
                Test::NotIn(_) => (refused(*errno), allowed),
                Test::In(_) | Test::AnyBit(_) => (allowed, refused(*errno)),
            };
            match test {
                Test::NotIn(values) | Test::In(values) => {
                    for (position, value) in values.iter().enumerate() {
                        // Over the remaining comparisons and the first return.
                        let skip = u8::try_from(values.len() - position).unwrap_or(u8::MAX);
                        code.push(instruction(JUMP_EQUAL, skip, 0, *value));
                    }
                }
                Test::AnyBit(bits) => code.push(instruction(JUMP_ANY_BIT, 1, 0, *bits)),
            }
            code.extend([first, second]);
            code
        }
    }
}

const fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a filter as `linux/filter.h` describes it, with plain steps.
    fn evaluate(filter: &Filter, architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let load = |offset: u32| match offset {
            OFFSET_NUMBER => number,
            OFFSET_ARCHITECTURE => architecture,
            _ => {
                let index = usize::try_from((offset - OFFSET_ARGUMENTS) / 8).unwrap();
                u32::try_from(arguments[index] & 0xffff_ffff).unwrap()
            }
        };
        let (mut position, mut accumulator) = (0, 0);
        loop {
            let step = &filter.0[position];
            position += 1;
            let condition = match step.code {
                LOAD => {
                    accumulator = load(step.k);
                    continue;
                }
                RETURN => return step.k,
                JUMP => {
                    position += usize::try_from(step.k).unwrap();
                    continue;
                }
                JUMP_EQUAL => accumulator == step.k,
                JUMP_AT_LEAST => accumulator >= step.k,
                JUMP_ANY_BIT => accumulator & step.k != 0,
                other => panic!("unexpected instruction {other:#x}"),
            };
            position += usize::from(if condition { step.jt } else { step.jf });
        }
    }

    fn expected(action: Option<&Action>, arguments: [u64; 6]) -> u32 {
        let refused = |errno: u16| libc::SECCOMP_RET_ERRNO | u32::from(errno);
        match action {
            None => refused(38),
            Some(Action::Allow) => libc::SECCOMP_RET_ALLOW,
            Some(Action::Errno(errno)) => refused(*errno),
            Some(Action::Argument { index, test, errno }) => {
                let value = u32::try_from(arguments[usize::from(*index)] & 0xffff_ffff).unwrap();
                let matches = match test {
                    Test::NotIn(values) => !values.contains(&value),
                    Test::In(values) => values.contains(&value),
                    Test::AnyBit(bits) => value & bits != 0,
                };
                if matches { refused(*errno) } else { libc::SECCOMP_RET_ALLOW }
            }
        }
    }

    #[test]
    fn compiled_filter_agrees_with_the_table_for_every_number() {
        let policy: Policy = serde_json::from_str(POLICY).unwrap();
        let (rules, rootless) =
            (actions(&policy.rules).unwrap(), actions(&policy.rootless).unwrap());
        let stricter: BTreeMap<_, _> = rules.clone().into_iter().chain(rootless).collect();
        for (sections, actions) in [(&[][..], rules), (&[Section::Rootless], stricter)] {
            agrees(&Filter::of_runs(sections).unwrap(), &actions);
        }
    }

    fn agrees(filter: &Filter, actions: &BTreeMap<u32, Action>) {
        for number in 0..1024 {
            for value in [0, 1, 2, 8, 10, 16, 17, 22, 35, 40, 0x5412, 0x541c, 0x1000_0000, u64::MAX]
            {
                let arguments = [value; 6];
                let got = evaluate(filter, ARCHITECTURE, number, arguments);
                let want = expected(actions.get(&number), arguments);
                assert_eq!(got, want, "call {number} with {value:#x}");
            }
        }
    }

    /// What a worker could do if a module ever broke out of its runtime: nothing that opens, starts,
    /// reaches or changes anything outside of it.
    #[test]
    fn workers_open_start_and_reach_nothing() {
        let filter = Filter::of_workers().unwrap();
        let policy: Policy = serde_json::from_str(POLICY_OF_WORKERS).unwrap();
        for name in [
            "open",
            "openat",
            "openat2",
            "creat",
            "socket",
            "connect",
            "bind",
            "execve",
            "execveat",
            "fork",
            "vfork",
            "clone",
            "clone3",
            "kill",
            "tkill",
            "pidfd_open",
            "pidfd_send_signal",
            "ptrace",
            "process_vm_readv",
            "ioctl",
            "mount",
            "unshare",
            "setns",
            "chroot",
            "setuid",
            "bpf",
            "io_uring_setup",
            "keyctl",
            "unlink",
            "rename",
            "mkdir",
            "chmod",
            "shmget",
            "userfaultfd",
            "perf_event_open",
            "prctl",
            "seccomp",
        ] {
            let number = number_of(name).unwrap();
            let got = evaluate(&filter, ARCHITECTURE, number, [0; 6]);
            assert_eq!(got, libc::SECCOMP_RET_ERRNO | 1, "{name}");
        }
        let limits = number_of("prlimit64").unwrap();
        assert_eq!(evaluate(&filter, ARCHITECTURE, limits, [0; 6]), libc::SECCOMP_RET_ALLOW);
        assert_ne!(evaluate(&filter, ARCHITECTURE, limits, [1; 6]), libc::SECCOMP_RET_ALLOW);
        assert!(actions(&policy.rules).unwrap().len() < 60);
    }

    #[test]
    fn both_parts_together_are_the_filter_of_runs() {
        let whole = Filter::of_runs(&[]).unwrap();
        let (first, second) = Filter::in_two_parts(&[]).unwrap();
        for architecture in [ARCHITECTURE, 0x4000_0003] {
            for number in (0..1024).chain([X32_BIT, X32_BIT + 435]) {
                for value in [0, 1, 2, 16, 22, 0x5412, 0x1000_0000, u64::MAX] {
                    let of = |filter| evaluate(filter, architecture, number, [value; 6]);
                    // The kernel takes the verdict that allows least (seccomp(2)).
                    let both = match (of(&first), of(&second)) {
                        (libc::SECCOMP_RET_ALLOW, other) | (other, libc::SECCOMP_RET_ALLOW) => {
                            other
                        }
                        (one, other) => one.min(other),
                    };
                    assert_eq!(both, of(&whole), "call {number} with {value:#x}");
                }
            }
        }
    }

    #[test]
    fn foreign_architectures_are_killed_and_x32_refused() {
        let filter = Filter::of_runs(&[]).unwrap();
        let i386 = 0x4000_0003;
        assert_eq!(evaluate(&filter, i386, 20, [0; 6]), libc::SECCOMP_RET_KILL_PROCESS);
        let x32_getpid = X32_BIT + 39;
        let refused = libc::SECCOMP_RET_ERRNO | 38;
        assert_eq!(evaluate(&filter, ARCHITECTURE, x32_getpid, [0; 6]), refused);
    }

    #[test]
    fn filter_stays_a_tree_of_moderate_size() {
        let filter = Filter::of_runs(&[Section::Rootless, Section::WithoutGroups]).unwrap();
        assert!(filter.0.len() < 512, "{} instructions", filter.0.len());
    }
}
