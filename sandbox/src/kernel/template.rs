//! The part of a template that waits (see [`crate::warm`]): machine code that lies in the interpreter's
//! memory and makes nothing but system calls.
//!
//! Whoever waits in the interpreter's own code writes to the interpreter's memory with each run, and so
//! has pages copied that it shares with its copies, on both sides. This writes to a buffer of its own and
//! to one page of stack. It knows nothing of runs: the calls that make a copy, and those that the copy
//! makes, come with each request ([`Calls`]).
#![expect(unsafe_code, reason = "machine code that is copied as bytes")]

use std::ffi::c_long;
use std::io;

/// Numbers of a call: which one it is, and its arguments.
const WORDS_OF_CALL: usize = 7;
/// Calls of one request; more than a run needs.
const CALLS_MAX: usize = 40;
/// Where the data lies that calls point to, counted from the beginning of the request.
const DATA_AT: usize = 8 + 8 * WORDS_OF_CALL * CALLS_MAX;
/// Where the request lies in the buffer.
const REQUEST_AT: usize = 256;
/// Bytes of the buffer.
pub(crate) const BUFFER_BYTES: usize = 16 << 10;
/// The socket that requests come from.
const CONTROL: i32 = 3;

// `assay_template(buffer)`. First it says where the buffer lies. Then, for each request: receives it with
// its descriptors, which become 4 and up; makes the first call, which copies the process; the original
// closes the descriptors and goes on, the copy makes the other calls, says its number, closes all but
// the standard streams and returns. A call that fails is told as its negative errno, and the copy ends.
//
// `assay_take(range, bytes)` and `assay_give(range, piece, bytes)` hand out pieces of a range of memory (where
// it begins, where it ends, what came back last), so that what an interpreter loads lies together
// (`PyObject_SetArenaAllocator`). Most are of one size: a piece that came back is used for its like.
//
// The buffer: 0 a struct msghdr, 64 its iovec, 96 what is said, 128 its control data, 256 the request.
std::arch::global_asm!(
    ".pushsection .rodata",
    ".globl assay_template, assay_take, assay_give, assay_template_end",
    "assay_template:",
    "push rbx",
    "push rbp",
    "push r12",
    "mov rbx, rdi",
    "mov qword ptr [rbx + 24], 1",
    "lea rax, [rbx + 64]",
    "mov [rbx + 16], rax",
    "lea rax, [rbx + 128]",
    "mov [rbx + 32], rax",
    "lea rax, [rbx + {request}]",
    "mov [rbx + 64], rax",
    "mov qword ptr [rbx + 72], {request_bytes}",
    "mov [rbx + 96], rbx",
    "call .Lassay_say",
    ".Lassay_next:",
    "mov qword ptr [rbx + 40], 128",
    "mov eax, {recvmsg}",
    "mov edi, {control}",
    "mov rsi, rbx",
    "xor edx, edx",
    "syscall",
    "cmp rax, -{interrupted}",
    "je .Lassay_next",
    "xor edi, edi",
    "test rax, rax",
    "jle .Lassay_exit",
    "lea rbp, [rbx + {request} + 8]",
    "call .Lassay_call",
    "test rax, rax",
    "jz .Lassay_copy",
    "jns .Lassay_close",
    "mov [rbx + 96], rax",
    "call .Lassay_say",
    ".Lassay_close:",
    "mov edi, {control} + 1",
    "call .Lassay_close_from",
    "jmp .Lassay_next",
    ".Lassay_copy:",
    "mov r12, [rbx + {request}]",
    ".Lassay_step:",
    "dec r12",
    "jz .Lassay_done",
    "add rbp, {call_bytes}",
    "call .Lassay_call",
    "test rax, rax",
    "jns .Lassay_step",
    "mov [rbx + 96], rax",
    "call .Lassay_say",
    "mov edi, 127",
    ".Lassay_exit:",
    "mov eax, {exit_group}",
    "syscall",
    ".Lassay_done:",
    "mov eax, {getpid}",
    "syscall",
    "mov [rbx + 96], rax",
    "call .Lassay_say",
    "mov edi, {control}",
    "call .Lassay_close_from",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
    ".Lassay_say:",
    "mov eax, {write}",
    "mov edi, {control}",
    "lea rsi, [rbx + 96]",
    "mov edx, 8",
    "syscall",
    "ret",
    ".Lassay_close_from:",
    "mov eax, {close_range}",
    "mov esi, 0x7fffffff",
    "xor edx, edx",
    "syscall",
    "ret",
    ".Lassay_call:",
    "mov rax, [rbp]",
    "mov rdi, [rbp + 8]",
    "mov rsi, [rbp + 16]",
    "mov rdx, [rbp + 24]",
    "mov r10, [rbp + 32]",
    "mov r8, [rbp + 40]",
    "mov r9, [rbp + 48]",
    "syscall",
    "ret",
    "assay_take:",
    "mov rax, [rdi + 16]",
    "test rax, rax",
    "jz .Lassay_fresh",
    "cmp [rax + 8], rsi",
    "jne .Lassay_fresh",
    "mov rcx, [rax]",
    "mov [rdi + 16], rcx",
    "ret",
    ".Lassay_fresh:",
    "mov rax, [rdi]",
    "add rsi, rax",
    "cmp rsi, [rdi + 8]",
    "ja .Lassay_full",
    "mov [rdi], rsi",
    "ret",
    ".Lassay_full:",
    "xor eax, eax",
    "ret",
    "assay_give:",
    "mov rax, [rdi + 16]",
    "mov [rsi], rax",
    "mov [rsi + 8], rdx",
    "mov [rdi + 16], rsi",
    "ret",
    "assay_template_end:",
    ".popsection",
    request = const REQUEST_AT,
    request_bytes = const BUFFER_BYTES - REQUEST_AT,
    call_bytes = const 8 * WORDS_OF_CALL,
    control = const CONTROL,
    interrupted = const libc::EINTR,
    recvmsg = const libc::SYS_recvmsg,
    exit_group = const libc::SYS_exit_group,
    getpid = const libc::SYS_getpid,
    write = const libc::SYS_write,
    close_range = const libc::SYS_close_range,
);

unsafe extern "C" {
    static assay_template: u8;
    static assay_take: u8;
    static assay_give: u8;
    static assay_template_end: u8;
}

/// The code, which may lie anywhere.
pub(crate) fn code() -> &'static [u8] {
    let (start, end) = (&raw const assay_template, &raw const assay_template_end);
    // SAFETY: both are labels of one block of read-only data, the second behind the first.
    unsafe { std::slice::from_raw_parts(start, end.addr() - start.addr()) }
}

/// Where the functions behind the first begin in the code: one that takes memory, one that gives it back.
pub(crate) fn allocator_at() -> [usize; 2] {
    [&raw const assay_take, &raw const assay_give]
        .map(|function| function.addr() - (&raw const assay_template).addr())
}

/// A request: calls, and what they point to.
#[derive(Debug)]
pub(crate) struct Calls {
    buffer: u64,
    words: Vec<u64>,
    data: Vec<u8>,
}

impl Calls {
    /// For the template whose buffer lies at `buffer`.
    pub(crate) fn new(buffer: u64) -> Self {
        let words = Vec::with_capacity(WORDS_OF_CALL * CALLS_MAX);
        Self { buffer, words, data: Vec::with_capacity(512) }
    }

    /// Adds a call.
    pub(crate) fn call(&mut self, number: c_long, arguments: &[u64]) {
        let end = self.words.len() + WORDS_OF_CALL;
        self.words.push(number.unsigned_abs());
        self.words.extend(arguments.iter().take(WORDS_OF_CALL - 1));
        self.words.resize(end, 0);
    }

    /// Adds data; returns where it will lie.
    pub(crate) fn data(&mut self, bytes: &[u8]) -> u64 {
        let at = REQUEST_AT + DATA_AT + self.data.len();
        self.data.extend_from_slice(bytes);
        // What is pointed to may be numbers.
        self.data.resize(self.data.len().next_multiple_of(8), 0);
        self.buffer + at as u64
    }

    /// The request as it is sent.
    pub(crate) fn message(&self) -> io::Result<Vec<u8>> {
        let mut message = Vec::with_capacity(DATA_AT + self.data.len());
        message.extend(((self.words.len() / WORDS_OF_CALL) as u64).to_ne_bytes());
        message.extend(self.words.iter().copied().flat_map(u64::to_ne_bytes));
        if message.len() > DATA_AT || DATA_AT + self.data.len() > BUFFER_BYTES - REQUEST_AT {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        message.resize(DATA_AT, 0);
        message.extend(&self.data);
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_lies_where_calls_are_told() {
        let mut calls = Calls::new(0x1000);
        let first = calls.data(b"/w\0");
        let second = calls.data(&7_u64.to_ne_bytes());
        calls.call(libc::SYS_chdir, &[first]);
        calls.call(libc::SYS_write, &[4, second, 8]);
        let message = calls.message().unwrap();
        let at = |address: u64| usize::try_from(address - 0x1000).unwrap() - REQUEST_AT;
        assert_eq!(&message[at(first)..][..3], b"/w\0");
        assert_eq!(message[at(second)..][..8], 7_u64.to_ne_bytes());
        let word = |index: usize| u64::from_ne_bytes(message[8 * index..][..8].try_into().unwrap());
        assert_eq!([word(0), word(1), word(2), word(3)], [2, 80, first, 0]);
        assert_eq!([word(8), word(9), word(10), word(11)], [1, 4, second, 8]);
    }

    #[test]
    fn a_request_that_does_not_fit_is_refused() {
        let mut calls = Calls::new(0);
        for _ in 0..CALLS_MAX {
            calls.call(libc::SYS_getpid, &[]);
        }
        assert!(calls.message().is_ok());
        calls.call(libc::SYS_getpid, &[]);
        assert!(calls.message().is_err());
        let mut calls = Calls::new(0);
        calls.data(&vec![0; BUFFER_BYTES]);
        assert!(calls.message().is_err());
    }
}
