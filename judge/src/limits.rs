//! Every bound of the judge in one place.
//!
//! What one program may use is bounded by [`sandbox::limits`]; this file bounds what a request, a
//! reply, a queue or a wait may be. Operators lower some of them in the configuration.

use std::time::Duration;

use sandbox::Limits;
use sandbox::limits::Bytes;

/// Submissions in one request, where the configuration does not say otherwise.
pub const BATCH_SUBMISSIONS_MAX: usize = 4096;
/// Submissions admitted and not yet answered, where the configuration does not say otherwise.
pub const QUEUE_SUBMISSIONS_MAX: usize = 16 << 10;
/// Bytes of a request body, where the configuration does not say otherwise.
pub const BODY_BYTES_MAX: usize = 64 << 20;
/// Bytes of all request bodies held at once, where the configuration does not say otherwise.
pub const BODIES_BYTES_MAX: usize = 512 << 20;
/// Connections open at once, where the configuration does not say otherwise.
pub const CONNECTIONS_MAX: usize = 1024;

/// Submissions of one request that are under way for each slot: some wait for the finding of an
/// equal one and need none.
pub const UNDER_WAY_PER_SLOT_MAX: usize = 4;
/// The longest deadline that a request may give.
pub const DEADLINE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Batches kept, where the configuration does not say otherwise.
pub const BATCHES_MAX: usize = 1024;
/// Bytes of results of all batches before outputs are left out, where the configuration does not say
/// otherwise.
pub const BATCHES_BYTES_MAX: usize = 256 << 20;
/// How long a finished batch is kept, where the configuration does not say otherwise.
pub const BATCH_KEEP_TIME_MAX: Duration = Duration::from_secs(600);
/// Bytes of an idempotency key.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 256;
/// After how long without an event a stream of events says that it is alive.
pub const EVENT_PAUSE_MAX: Duration = Duration::from_secs(15);

/// Tenants of a configuration.
pub const TENANTS_MAX: usize = 256;
/// Keys of a tenant: one in use, one that replaces it, and some to spare.
pub const TENANT_KEYS_MAX: usize = 16;
/// Bytes of a name of a tenant.
pub const TENANT_NAME_BYTES_MAX: usize = 64;
/// The largest weight of a tenant.
pub const TENANT_WEIGHT_MAX: u32 = 1000;
/// Submissions that a tenant may send in a second, and at once.
pub const TENANT_RATE_MAX: f64 = 1e6;
/// Bytes of a presented key that are looked at.
pub const KEY_BYTES_MAX: usize = 256;
/// Bytes of a request's id; a longer one is replaced.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// Bytes of a file that holds a certificate or a key.
pub const PEM_BYTES_MAX: u64 = 1 << 20;
/// How long a TLS handshake may take.
pub const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Bytes of memory that a compressed body may ask its decoder for: what RFC 9659 allows to zstd.
pub const ZSTD_WINDOW_BYTES_MAX: u64 = 8 << 20;

/// Test cases of one problem.
pub const TESTS_MAX: usize = 1024;
/// Bytes of a source, a completion or an assertion program.
pub const SOURCE_BYTES_MAX: usize = 4 << 20;
/// Bytes of a submission's id.
pub const ID_BYTES_MAX: usize = 256;
/// Files that are installed in a slot by one message.
pub const INSTALL_FILES_MAX: usize = 512;
/// Bytes of the paths of files that are installed by one message.
pub const INSTALL_PATHS_BYTES_MAX: usize = 48 << 10;
/// Files of a problem of test files.
pub const SUITE_FILES_MAX: usize = 512;
/// Bytes of the paths of these files together: they travel to a slot in one message.
pub const SUITE_PATHS_BYTES_MAX: usize = 32 << 10;
/// Files of a repository.
pub const TREE_FILES_MAX: usize = 6000;
/// Bytes of a repository's files.
pub const TREE_BYTES_MAX: usize = 96 << 20;
/// Files that a patch may change.
pub const PATCH_FILES_MAX: usize = 1024;
/// Lines that are compared to find the places of a patch's hunks.
pub const PATCH_COMPARISONS_MAX: usize = 20_000_000;
/// Commands of a build.
pub const BUILD_COMMANDS_MAX: usize = 64;
/// Bytes of all arguments of one command.
pub const COMMAND_BYTES_MAX: usize = 32 << 10;
/// Patterns of paths that a patch must not change.
pub const PROTECTED_MAX: usize = 256;
/// Bytes of a report that a command of a repository writes.
pub const SUITE_REPORT_BYTES_MAX: u64 = 16 << 20;
/// Bytes of a test's name.
pub const SUITE_NAME_BYTES_MAX: usize = 1024;
/// Tests of one session that are judged, where a problem does not name them.
pub const SUITE_TESTS_MAX: usize = 4096;
/// Tests of one session that a reply tells a message of.
pub const SUITE_MESSAGES_MAX: usize = 32;
/// Arguments of a program that is run without judging.
pub const ARGUMENTS_MAX: usize = 256;
/// Files of a program that is run without judging.
pub const RUN_FILES_MAX: usize = 256;
/// Bytes of a compiled artifact.
pub const ARTIFACT_BYTES_MAX: u64 = 128 << 20;

/// Right answers of one problem.
pub const REFERENCES_MAX: usize = 64;
/// Bytes of one right answer.
pub const REFERENCE_BYTES_MAX: usize = 256 << 10;
/// Options of a multiple choice.
pub const OPTIONS_MAX: usize = 26;
/// Bytes of a question, a rubric or an option.
pub const QUESTION_BYTES_MAX: usize = 64 << 10;
/// Votes of a reward model on one answer.
pub const VOTES_MAX: u32 = 16;
/// Characters of an answer that a reward model may be shown.
pub const JUDGED_CHARS_MAX: usize = 64 << 10;
/// Tokens of a reward model's reply.
pub const REPLY_TOKENS_MAX: u32 = 64 << 10;
/// Bytes of a reward model's reply.
pub const JUDGE_REPLY_BYTES_MAX: usize = 4 << 20;
/// Verdicts of a reward model that are kept.
pub const JUDGE_CACHE_ENTRIES_MAX: usize = 16 << 20;
/// Calls of one reward model at the same time.
pub const JUDGE_CONCURRENCY_MAX: usize = 4096;
/// Tries of one call.
pub const JUDGE_TRIES_MAX: u32 = 16;
/// How often a reply that is no verdict is asked for again.
pub const JUDGE_REASKS_MAX: u32 = 2;
/// How long a verdict may take.
pub const JUDGE_DEADLINE_MS_MAX: u64 = 3_600_000;
/// Bytes of a replay log before it is moved aside; one older file is kept.
pub const REPLAY_LOG_BYTES_MAX: u64 = 1 << 30;
/// Reward models of a configuration, of each kind.
pub const REWARD_MODELS_MAX: usize = 64;
/// Components of a reward.
pub const COMPONENTS_MAX: usize = 16;
/// Size of a component's weight.
pub const WEIGHT_MAX: f64 = 1000.0;
/// Tags that a format may require.
pub const FORMAT_TAGS_MAX: usize = 16;
/// Answers of one request that are judged at the same time; what rules decide takes microseconds,
/// the rest waits for reward models, which have limits of their own.
pub const ANSWERS_UNDER_WAY_MAX: usize = 64;

/// Bytes of one output stream that a reply shows.
pub const STREAM_HEAD_BYTES: usize = 64 << 10;
/// Bytes of output that the reply to one submission shows, all tests together.
pub const SUBMISSION_HEAD_BYTES: usize = 256 << 10;
/// Bytes of a conversation with an interactor that are kept.
pub const TRANSCRIPT_BYTES_MAX: usize = 16 << 10;
/// Bytes of verdicts that are remembered, where the configuration does not say otherwise.
pub const VERDICTS_BYTES_MAX: usize = 64 << 20;
/// Bytes of compiled programs that are remembered, where the configuration does not say otherwise.
pub const ARTIFACTS_BYTES_MAX: usize = 256 << 20;
/// Bytes of generated inputs and answers that are remembered, where the configuration does not say
/// otherwise.
pub const GENERATED_BYTES_MAX: usize = 128 << 20;
/// Results that the operator's page can show.
pub const RECENT_MAX: usize = 256;
/// Bytes of all these results.
pub const RECENT_BYTES_MAX: usize = 16 << 20;
/// Bytes of a program that is kept with its result.
pub const RECENT_SOURCE_BYTES: usize = 16 << 10;
/// Seconds over which throughput is kept.
pub const PULSE_SECONDS_MAX: u64 = 600;
/// Bytes at the end of standard error that are searched for the name of a failure.
pub const STDERR_TAIL_BYTES: usize = 8 << 10;
/// Bytes of one message or of one quoted value in an error reply.
pub const MESSAGE_BYTES_MAX: usize = 1024;

/// Attempts at one submission: a slot that fails is replaced, and a second slot failing in the same
/// way is news about the machine, not about the slot.
pub const ATTEMPTS_MAX: u32 = 2;

/// How long reading a request's head may take.
pub const HEADER_READ_TIME_MAX: Duration = Duration::from_secs(10);
/// How long reading a request's body may take.
pub const BODY_READ_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a stopping service finishes what it admitted.
pub const DRAIN_TIME_MAX: Duration = Duration::from_secs(30);
/// How long the pool may take to close before the process ends regardless.
pub const CLOSE_TIME_MAX: Duration = Duration::from_secs(10);
/// The longest `Retry-After` that a full queue answers.
pub const RETRY_AFTER_SECONDS_MAX: u64 = 120;
/// Requests that were refused and have places kept for them.
pub const PLACES_BOOKED_MAX: usize = 64 << 10;
/// Places kept for equal requests of one tenant. Groups of completions repeat themselves: fewer than wait
/// at the same time would leave the rest of them knocking in vain.
pub const PLACES_OF_ONE_MAX: usize = 4 << 10;
/// For how many seconds after its time a place is kept: clients spread their returns.
pub const PLACE_KEPT_SECONDS: u64 = 5;
/// The longest `Retry-After` that a tenant's rate answers.
pub const RATE_WAIT_SECONDS_MAX: u64 = 3600;
/// How long asking a toolchain for its version may take.
pub const VERSION_TIME_MAX: Duration = Duration::from_secs(20);

/// Bytes of each output stream where a foreign wire has no limit of its own: whole outputs go back.
pub const COMPAT_OUTPUT_BYTES: Bytes = Bytes::mib(16);
/// Memory of a program where a foreign wire knows no limit.
pub const COMPAT_MEMORY: Bytes = Bytes::mib(1024);
/// Files that one run of a foreign wire may take out.
pub const COMPAT_FETCHED_MAX: usize = 64;
/// Bytes of one such file.
pub const COMPAT_FETCHED_BYTES_MAX: u64 = 16 << 20;
/// Bytes of a reply above which it counts with the bodies held at once.
pub const COMPAT_REPLY_INLINE_BYTES_MAX: usize = 256 << 10;
/// After how many seconds a client should try again what failed by our fault.
pub const COMPAT_RETRY_SECONDS: u64 = 1;
/// Characters at the end of a prompt by which it is found in a query.
pub const COMPAT_PROMPT_TAIL_CHARS: usize = 64;
/// Verify responses that are aggregated at once.
pub const COMPAT_AGGREGATED_MAX: usize = 1 << 20;
/// Texts that one call of a classifier scores.
pub const COMPAT_CLASSIFIED_MAX: usize = 256;
/// Submissions of Judge0's wire that are kept for whoever has their token.
pub const JUDGE0_TOKENS_MAX: usize = 8192;
/// Bytes of all of them.
pub const JUDGE0_BYTES_MAX: usize = 256 << 20;
/// How long one is kept after it ended.
pub const JUDGE0_TIME_MAX: Duration = Duration::from_secs(1800);
/// Submissions in one batch of Judge0's wire.
pub const JUDGE0_BATCH_MAX: usize = 20;
/// Commands of one request of go-judge's wire.
pub const GO_JUDGE_COMMANDS_MAX: usize = 64;
/// Bytes of a file that a command leaves and its client takes.
pub const GO_JUDGE_COPY_BYTES_MAX: u64 = 64 << 20;
/// Files of go-judge's wire that are kept.
pub const GO_JUDGE_FILES_MAX: usize = 4096;
/// Bytes of all of them.
pub const GO_JUDGE_BYTES_MAX: usize = 512 << 20;
/// How long one is kept.
pub const GO_JUDGE_TIME_MAX: Duration = Duration::from_secs(1800);

/// Bytes of a configuration file.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a file that the command line reads.
pub const COMMAND_FILE_BYTES_MAX: u64 = 256 << 20;
/// Bytes of one line of a batch file.
pub const BATCH_LINE_BYTES_MAX: usize = BODY_BYTES_MAX;

/// Size of a slot's writable layer: all that one program may keep in files.
pub const SLOT_DISK: Bytes = Bytes::mib(512);

/// The largest limits that a submission may ask for, where the configuration does not say otherwise.
pub const PROGRAM_LIMITS_MAX: Limits = Limits {
    cpu_time: Duration::from_secs(300),
    wall_time: Duration::from_secs(900),
    memory: Bytes::mib(4096),
    pids: 512,
    output: Bytes::mib(64),
    disk: SLOT_DISK,
    open_files: 1024,
    stack: sandbox::limits::LIMITS_MAX.stack,
};

/// What a compiler may use, where its language does not say otherwise.
pub const COMPILE_LIMITS: Limits = Limits {
    cpu_time: Duration::from_secs(30),
    wall_time: Duration::from_secs(60),
    memory: Bytes::mib(1024),
    pids: 128,
    output: Bytes::mib(4),
    disk: SLOT_DISK,
    open_files: 512,
    stack: Bytes::mib(64),
};

/// Sessions open at once, where the configuration does not say otherwise.
pub const SESSIONS_MAX: usize = 16;
/// Bytes of memory that all open sessions may use together, where the configuration does not say
/// otherwise.
pub const SESSIONS_MEMORY_BYTES_MAX: u64 = 8 << 30;
/// How long a session lives, where its request does not say otherwise; and the longest.
pub const SESSION_TIME_TO_LIVE: Duration = Duration::from_secs(3600);
/// See [`SESSION_TIME_TO_LIVE`].
pub const SESSION_TIME_TO_LIVE_MAX: Duration = Duration::from_secs(2 * 3600);
/// How long a session lives of which nobody asks anything, where its request does not say otherwise;
/// and the longest.
pub const SESSION_IDLE_TIME: Duration = Duration::from_secs(600);
/// See [`SESSION_IDLE_TIME`].
pub const SESSION_IDLE_TIME_MAX: Duration = SESSION_TIME_TO_LIVE_MAX;
/// The shortest time that a session can be asked to live.
pub const SESSION_TIME_MIN: Duration = Duration::from_secs(1);
/// How long the engine of a session may take to be ready.
pub const SESSION_START_TIME_MAX: Duration = Duration::from_secs(60);
/// Processor time that a session may use between two cells.
pub const SESSION_IDLE_CPU_TIME: Duration = Duration::from_secs(5);
/// How long a cell may go on after it was interrupted.
pub const INTERRUPT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long the end of a program that was killed may take to be told.
pub const SESSION_END_TIME_MAX: Duration = Duration::from_secs(30);
/// Cells of one session that wait for their turn.
pub const CELLS_QUEUED_MAX: usize = 16;
/// Interrupts, restarts and the like of one session that wait for their turn.
pub const SESSION_CONTROLS_MAX: usize = 16;
/// Events of one cell that wait for a client that reads slowly.
pub const CELL_EVENTS_MAX: usize = 64;
/// Cells of one notebook, its checks included.
pub const NOTEBOOK_CELLS_MAX: usize = 1024;
/// Files that are handed back of one notebook.
pub const NOTEBOOK_FILES_MAX: usize = 64;
/// Time on the clock of a notebook, where its request does not say otherwise.
pub const NOTEBOOK_TIME: Duration = Duration::from_secs(600);
/// Bytes of one answer of an engine.
pub const FRAME_BYTES_MAX: usize = 8 << 20;

/// What a session may use, where its request does not say otherwise: cpu time, wall time and output
/// are those of a cell.
pub const SESSION_LIMITS: Limits = Limits {
    cpu_time: Duration::from_secs(60),
    wall_time: Duration::from_secs(120),
    memory: Bytes::mib(512),
    pids: 128,
    output: Bytes::mib(8),
    disk: Bytes::mib(128),
    open_files: 512,
    stack: Bytes::mib(64),
};

/// Files of one problem, those of its archive included.
pub const PROBLEM_FILES_MAX: usize = 4096;
/// Bytes of all files of one problem, unpacked.
pub const PROBLEM_BYTES_MAX: usize = 256 << 20;
/// Bytes of an `init.yml`.
pub const INIT_BYTES_MAX: usize = 1 << 20;
/// Nodes of an `init.yml`, with its aliases unfolded.
pub const INIT_NODES_MAX: usize = 50_000;

/// What a checker, an interactor or a generator may use, where the problem does not say otherwise.
pub const HELPER_LIMITS: Limits = Limits {
    cpu_time: Duration::from_secs(20),
    wall_time: Duration::from_secs(65),
    memory: Bytes::mib(512),
    pids: 128,
    output: Bytes::mib(64),
    disk: SLOT_DISK,
    open_files: 512,
    stack: Bytes::mib(64),
};

/// What a session of test files may use, where a submission does not say otherwise.
pub const UNIT_TEST_LIMITS: protocol::Limits = protocol::Limits {
    cpu_time_ms: Some(10_000),
    wall_time_ms: None,
    memory_bytes: Some(512 << 20),
    pids: Some(128),
    output_bytes: None,
    disk_bytes: None,
    open_files: None,
};

/// What the tests of a repository may use, where a submission does not say otherwise.
pub const REPOSITORY_LIMITS: protocol::Limits = protocol::Limits {
    cpu_time_ms: Some(60_000),
    memory_bytes: Some(1 << 30),
    pids: Some(256),
    disk_bytes: Some(256 << 20),
    open_files: Some(1024),
    ..UNIT_TEST_LIMITS
};

const _: () = {
    assert!(STREAM_HEAD_BYTES <= SUBMISSION_HEAD_BYTES);
    assert!(BODY_BYTES_MAX <= BODIES_BYTES_MAX);
    assert!(BATCH_SUBMISSIONS_MAX <= QUEUE_SUBMISSIONS_MAX);
    assert!(SOURCE_BYTES_MAX * 2 < sandbox::limits::FILES_BYTES_MAX);
    assert!(PROGRAM_LIMITS_MAX.memory.0 <= sandbox::limits::LIMITS_MAX.memory.0);
    assert!(ATTEMPTS_MAX >= 1);
    assert!((TREE_BYTES_MAX as u64) < ARTIFACT_BYTES_MAX);
    assert!(SESSION_TIME_TO_LIVE_MAX.as_secs() <= sandbox::limits::LIMITS_MAX.wall_time.as_secs());
    assert!(SESSIONS_MAX <= sandbox::limits::SLOTS_MAX);
    assert!(PROBLEM_BYTES_MAX <= sandbox::limits::STDIN_BYTES_MAX);
};
