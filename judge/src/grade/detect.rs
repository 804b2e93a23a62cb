//! Signs of cheats in programs that run in one process with their assertions. Pure.
//!
//! They raise flags beside the verdict; what a flag does to the reward, the submission says. What a
//! driver sees it reports on standard error at once, so that a program cannot take it back; a program
//! that forges such a line harms nobody but itself.

use super::Flag;

/// Exit code of a driver that refused to go on.
pub const REFUSED_CODE: i32 = 97;

/// How a driver's report begins.
const REPORT: &str = "assay-flag ";

/// Ways to read the memory of a process, or to be told of what happens in it, in any language.
const MEMORY_WORDS: [&str; 25] = [
    "/proc/self",
    "/proc/thread-self",
    "process_vm_readv",
    "ptrace",
    "dl_iterate_phdr",
    "__builtin_return_address",
    "__builtin_frame_address",
    "_dl_open",
    "dladdr",
    "asm!",
    "__asm__",
    "asm volatile",
    "sun.misc.Unsafe",
    "StackWalker",
    "node:inspector",
    "require('inspector')",
    "require(\"inspector\")",
    "process.binding",
    "dumpHeap",
    "DiagnosticCommand",
    "System.load",
    "Runtime.load",
    "__array_interface__",
    "__array_struct__",
    "as_strided",
];

/// What a source alone gives away.
#[must_use]
pub fn in_source(source: &[u8]) -> Vec<Flag> {
    let source = String::from_utf8_lossy(source);
    if MEMORY_WORDS.iter().any(|word| source.contains(word)) {
        vec![Flag::InspectsMemory]
    } else {
        Vec::new()
    }
}

/// What a driver reported.
#[must_use]
pub fn raised(stderr: &[u8]) -> Vec<Flag> {
    let stderr = String::from_utf8_lossy(stderr);
    let mut flags: Vec<Flag> = stderr
        .lines()
        .filter_map(|line| match line.strip_prefix(REPORT)? {
            "inspects_memory" => Some(Flag::InspectsMemory),
            "spawns_process" => Some(Flag::SpawnsProcess),
            "native_code" => Some(Flag::NativeCode),
            _ => None,
        })
        .collect();
    flags.sort_unstable();
    flags.dedup();
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read_wherever_they_stand_and_sources_by_their_words() {
        let stderr = b"x\nassay-flag spawns_process\nassay-flag inspects_memory\nassay-flag y\n";
        assert_eq!(raised(stderr), [Flag::InspectsMemory, Flag::SpawnsProcess]);
        assert!(raised(b"no assay-flag inspects_memory").is_empty());
        assert_eq!(in_source(b"open(\"/proc/self/mem\")"), [Flag::InspectsMemory]);
        assert!(in_source(b"int main() { return 0; }").is_empty());
    }
}
