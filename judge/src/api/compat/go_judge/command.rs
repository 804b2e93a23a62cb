//! A command of go-judge, checked once: what it runs, what is copied in and out, how it is joined.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use sandbox::spec::{CollectFile, FileMode, InputFile, SpecError, WORK_DIR};
use sandbox::{Limits, RunSpec};
use serde::Deserialize;

use super::super::super::Service;
use super::super::super::error::ApiError;
use super::super::program;
use super::store::{Files, Owner};
use crate::execution::Pipe;
use crate::limits::{
    COMPAT_FETCHED_MAX, COMPAT_OUTPUT_BYTES, GO_JUDGE_COMMANDS_MAX, GO_JUDGE_COPY_BYTES_MAX,
};
use crate::submission;

/// Body of `POST /run`.
#[derive(Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RunRequest {
    #[serde(default, rename = "requestId")]
    _request_id: Option<String>,
    cmd: Vec<Cmd>,
    #[serde(default)]
    pipe_mapping: Vec<PipeMap>,
}

protocol::read_object!(RunRequest);

#[derive(Debug, Default, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, rename_all = "camelCase", default)]
struct Cmd {
    args: Vec<String>,
    env: Vec<String>,
    files: Vec<Option<CmdFile>>,
    tty: bool,
    cpu_limit: u64,
    clock_limit: u64,
    /// The old name of `clockLimit`.
    real_cpu_limit: u64,
    memory_limit: u64,
    stack_limit: u64,
    proc_limit: u64,
    cpu_rate_limit: u64,
    cpu_set_limit: String,
    strict_memory_limit: bool,
    data_segment_limit: bool,
    address_space_limit: bool,
    copy_in: BTreeMap<String, CmdFile>,
    copy_out: Vec<String>,
    copy_out_cached: Vec<String>,
    copy_out_max: u64,
    copy_out_dir: String,
    copy_out_truncate: bool,
}

protocol::read_object!(Cmd);

#[derive(Debug, Default, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, rename_all = "camelCase", default)]
struct CmdFile {
    content: Option<String>,
    file_id: Option<String>,
    name: Option<String>,
    max: Option<u64>,
    /// Whether it is collected through a pipe; here everything is.
    #[serde(rename = "pipe")]
    _pipe: bool,
    src: Option<String>,
    symlink: Option<String>,
    stream_in: bool,
    stream_out: bool,
}

protocol::read_object!(CmdFile);

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, rename_all = "camelCase")]
struct PipeMap {
    r#in: PipeEnd,
    out: PipeEnd,
    #[serde(default)]
    proxy: bool,
    #[serde(default)]
    name: String,
    #[serde(default)]
    max: usize,
    #[serde(default, rename = "disableZeroCopy")]
    _disable_zero_copy: bool,
}

protocol::read_object!(PipeMap);

#[derive(Debug, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct PipeEnd {
    index: usize,
    fd: i32,
}

protocol::read_object!(PipeEnd);

/// What will be run.
#[derive(Debug)]
pub(super) struct Run {
    /// The commands, in order.
    pub(super) commands: Vec<Command>,
    /// How they are joined.
    pub(super) wiring: Wiring,
}

/// How commands are joined.
#[derive(Debug)]
pub(super) enum Wiring {
    /// Not at all.
    Apart,
    /// Two of them by pipes, each with the name under which what passes is shown.
    Joined {
        /// The pipes.
        pipes: Vec<Pipe>,
        /// Their names.
        names: Vec<Option<String>>,
    },
}

/// A command.
#[derive(Debug)]
pub(super) struct Command {
    /// What runs.
    pub(super) spec: RunSpec,
    /// How standard output is shown.
    pub(super) stdout: Option<Stream>,
    /// How standard error is shown.
    pub(super) stderr: Option<Stream>,
    /// Streams that are kept as files instead.
    pub(super) kept_streams: Vec<String>,
    /// Files that are taken out, in the order of the spec.
    pub(super) copied_out: Vec<CopyOut>,
}

/// A stream that is shown.
#[derive(Debug)]
pub(super) struct Stream {
    /// Its name in the reply.
    pub(super) name: String,
    /// Bytes that it may have.
    pub(super) bytes_max: usize,
}

/// A file that is taken out.
#[derive(Debug)]
pub(super) struct CopyOut {
    /// Its path.
    pub(super) name: String,
    /// Whether it may be missing.
    pub(super) is_optional: bool,
    /// Whether it is kept instead of shown.
    pub(super) is_kept: bool,
    /// Bytes that it may have.
    pub(super) bytes_max: u64,
}

fn wrong(message: impl Into<String>) -> ApiError {
    ApiError::unprocessable(
        "invalid_command",
        message,
        "judge/src/api/compat/go_judge.rs tells what is served",
    )
}

/// Checks a request.
///
/// # Errors
/// What is wrong with it, by the position of the command.
pub(super) fn read(service: &Service, owner: &Owner, request: RunRequest) -> Result<Run, ApiError> {
    let count = request.cmd.len();
    if count == 0 || count > GO_JUDGE_COMMANDS_MAX {
        return Err(wrong(format!("{count} commands, 1 to {GO_JUDGE_COMMANDS_MAX} allowed")));
    }
    let wiring = wiring(&request.cmd, request.pipe_mapping)?;
    let files = &service.compat.files;
    let one = |(at, cmd): (usize, Cmd)| {
        command(service, (files, owner), cmd).map_err(|error| error.at(&format!("cmd[{at}]")))
    };
    let commands = request.cmd.into_iter().enumerate().map(one).collect::<Result<_, _>>()?;
    Ok(Run { commands, wiring })
}

fn wiring(commands: &[Cmd], maps: Vec<PipeMap>) -> Result<Wiring, ApiError> {
    if maps.is_empty() {
        return Ok(Wiring::Apart);
    }
    if commands.len() != 2 {
        return Err(wrong("pipeMapping joins two commands here, not more or less"));
    }
    let (mut pipes, mut names): (Vec<Pipe>, Vec<Option<String>>) = (Vec::new(), Vec::new());
    for map in maps {
        let (from, to) = (map.r#in.index, map.out.index);
        if (map.r#in.fd, map.out.fd) != (1, 0) || from > 1 || to > 1 || from == to {
            return Err(wrong(
                "pipeMapping leads from standard output (in, fd 1) of one command to standard input \
                 (out, fd 0) of the other here",
            ));
        }
        if pipes.iter().any(|pipe| pipe.from == from || pipe.to == to) {
            return Err(wrong("pipeMapping uses a stream twice"));
        }
        let is_free = |cmd: &Cmd, fd: usize| cmd.files.get(fd).is_none_or(Option::is_none);
        if !is_free(&commands[from], 1) || !is_free(&commands[to], 0) {
            return Err(wrong("a stream of pipeMapping must be null in `files`"));
        }
        let shown = map.proxy && !map.name.is_empty();
        let kept = map.max.min(COMPAT_OUTPUT_BYTES.as_usize());
        pipes.push(Pipe { from, to, kept_bytes_max: if shown { kept } else { 0 } });
        names.push(shown.then_some(map.name));
    }
    Ok(Wiring::Joined { pipes, names })
}

fn command(service: &Service, files: (&Files, &Owner), cmd: Cmd) -> Result<Command, ApiError> {
    check_supported(&cmd)?;
    let stdin = match cmd.files.first() {
        Some(Some(file)) => content(files, "files[0]", file)?,
        Some(None) | None => Bytes::new(),
    };
    let stdout = stream("files[1]", cmd.files.get(1))?;
    let stderr = stream("files[2]", cmd.files.get(2))?;
    let limits = limits(service, &cmd, [&stdout, &stderr])?;
    let argv = argv(&cmd)?;
    let mut copied_in = Vec::new();
    for (path, file) in &cmd.copy_in {
        let content = content(files, path, file)?;
        let path = program::relative(path)?;
        copied_in.push(InputFile { path, content, mode: FileMode::Executable });
    }
    let (copied_out, kept_streams) = copied_out(&cmd, [&stdout, &stderr])?;
    let collect = copied_out.iter().map(|file| {
        Ok(CollectFile { path: program::relative(&file.name)?, bytes_max: file.bytes_max })
    });
    let spec = |error: SpecError| wrong(error.to_string());
    let spec = RunSpec::new(argv)
        .and_then(|it| it.env(&cmd.env))
        .and_then(|it| it.stdin(stdin))
        .and_then(|it| it.files(copied_in))
        .and_then(|it| it.limits(limits))
        .map_err(spec)?
        .collect(collect.collect::<Result<_, ApiError>>()?)
        .map_err(spec)?;
    Ok(Command { spec, stdout, stderr, kept_streams, copied_out })
}

fn check_supported(cmd: &Cmd) -> Result<(), ApiError> {
    let refused = [
        ("tty", cmd.tty),
        ("cpuRateLimit", cmd.cpu_rate_limit != 0),
        ("cpuSetLimit", !cmd.cpu_set_limit.is_empty()),
        ("strictMemoryLimit", cmd.strict_memory_limit),
        ("dataSegmentLimit", cmd.data_segment_limit),
        ("addressSpaceLimit", cmd.address_space_limit),
        ("copyOutDir", !cmd.copy_out_dir.is_empty()),
        ("copyOutTruncate", cmd.copy_out_truncate),
        ("files above 2", cmd.files.len() > 3),
    ];
    match refused.into_iter().find(|(_, asked)| *asked) {
        Some((what, _)) => Err(wrong(format!("{what} is not supported here"))),
        None => Ok(()),
    }
}

/// A program of the image by its absolute path, or a file copied in by its relative one.
fn argv(cmd: &Cmd) -> Result<Vec<String>, ApiError> {
    let mut argv = cmd.args.clone();
    match argv.first_mut() {
        Some(program) if program.starts_with('/') => {}
        Some(program) => *program = format!("{WORK_DIR}/{}", program.trim_start_matches("./")),
        None => return Err(wrong("args is empty")),
    }
    Ok(argv)
}

fn content(
    (files, owner): (&Files, &Owner),
    what: &str,
    file: &CmdFile,
) -> Result<Bytes, ApiError> {
    if file.src.is_some() || file.symlink.is_some() || file.stream_in || file.stream_out {
        return Err(wrong(format!("{what}: src, symlink and streams are not supported here")));
    }
    match (&file.content, &file.file_id) {
        (Some(content), None) => Ok(Bytes::copy_from_slice(content.as_bytes())),
        (None, Some(id)) => match files.find(owner, id) {
            Some(file) => Ok(file.content),
            None => Err(wrong(format!("{what}: file {id:?} is not here, or kept no longer"))),
        },
        (None, None) | (Some(_), Some(_)) => {
            Err(wrong(format!("{what}: give `content` or `fileId`")))
        }
    }
}

fn stream(what: &str, file: Option<&Option<CmdFile>>) -> Result<Option<Stream>, ApiError> {
    let Some(Some(file)) = file else { return Ok(None) };
    if file.stream_in || file.stream_out {
        return Err(wrong(format!("{what}: streams are not supported here")));
    }
    match (&file.name, file.max) {
        (Some(name), Some(max)) => {
            let bytes_max = usize::try_from(max).unwrap_or(usize::MAX);
            Ok(Some(Stream { name: name.clone(), bytes_max }))
        }
        _ => Err(wrong(format!("{what}: give `name` and `max`"))),
    }
}

fn copied_out(
    cmd: &Cmd,
    streams: [&Option<Stream>; 2],
) -> Result<(Vec<CopyOut>, Vec<String>), ApiError> {
    let is_stream =
        |name: &str| streams.iter().any(|it| it.as_ref().is_some_and(|it| it.name == name));
    let bytes_max = match cmd.copy_out_max {
        0 => GO_JUDGE_COPY_BYTES_MAX,
        max => max.min(GO_JUDGE_COPY_BYTES_MAX),
    };
    let (mut files, mut kept_streams) = (Vec::new(), Vec::new());
    let shown = cmd.copy_out.iter().map(|name| (name, false));
    for (name, is_kept) in shown.chain(cmd.copy_out_cached.iter().map(|name| (name, true))) {
        let plain = name.strip_suffix('?').unwrap_or(name).to_owned();
        let is_optional = plain.len() < name.len();
        match (is_stream(&plain), is_kept) {
            (true, true) => kept_streams.push(plain),
            (true, false) => {}
            (false, _) => files.push(CopyOut { name: plain, is_optional, is_kept, bytes_max }),
        }
    }
    if files.len() > COMPAT_FETCHED_MAX {
        return Err(wrong(format!("at most {COMPAT_FETCHED_MAX} files are copied out")));
    }
    Ok((files, kept_streams))
}

fn limits(service: &Service, cmd: &Cmd, streams: [&Option<Stream>; 2]) -> Result<Limits, ApiError> {
    let given = |value: u64| (value != 0).then_some(value);
    let milliseconds = |nanoseconds: u64| given(nanoseconds).map(|n| n.div_ceil(1_000_000));
    let clock = if cmd.clock_limit == 0 { cmd.real_cpu_limit } else { cmd.clock_limit };
    let output = streams.into_iter().flatten().map(|stream| stream.bytes_max as u64).max();
    let wire = protocol::Limits {
        cpu_time_ms: milliseconds(cmd.cpu_limit),
        wall_time_ms: milliseconds(clock),
        memory_bytes: given(cmd.memory_limit),
        pids: given(cmd.proc_limit),
        output_bytes: Some(
            output.unwrap_or(COMPAT_OUTPUT_BYTES.0).min(service.limits_max.output.0),
        ),
        disk_bytes: Some(service.limits_max.disk.0),
        open_files: None,
    };
    submission::check_limits(&wire, &service.limits_max)?;
    let mut limits = submission::apply(&Limits::default(), &wire);
    if cmd.cpu_limit == 0 {
        limits.cpu_time = service.limits_max.cpu_time.min(Duration::from_secs(60));
    }
    if clock == 0 {
        limits.wall_time = program::wall_time(limits.cpu_time).min(service.limits_max.wall_time);
    }
    if cmd.stack_limit != 0 {
        limits.stack = sandbox::limits::Bytes(cmd.stack_limit).min(service.limits_max.stack);
    }
    Ok(limits)
}
