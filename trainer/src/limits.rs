//! Every bound of the trainer in one place. Configurations lower some of them.

use std::time::Duration;

/// Bytes of a configuration file.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// Groups sampled for one iteration.
pub const GROUPS_MAX: usize = 65_536;
/// Rollouts in one group.
pub const GROUP_SAMPLES_MAX: usize = 1024;
/// Train steps that a rollout may be old.
pub const STALENESS_MAX: usize = 64;
/// Versions that a group may span beyond the staleness.
pub const SPAN_MAX: usize = 1024;
/// Problems of one task.
pub const PROBLEMS_MAX: usize = 10_000_000;
/// Width of a model that is made from a configuration.
pub const NEW_WIDTH_MAX: usize = 16_384;
/// Layers of a model that is made from a configuration.
pub const NEW_LAYERS_MAX: usize = 256;
/// Tokens of one trajectory, prompt included.
pub const TRAJECTORY_TOKENS_MAX: usize = 1 << 17;
/// Sequences decoded at once.
pub const SLOTS_MAX: usize = 4096;
/// Tables of sequences in one iteration.
pub const TABLES_MAX: usize = 1024;
/// Rows of logits that exist at once: `[rows, vocabulary]` is the largest tensor of training.
pub const LOGIT_ELEMENTS_MAX: usize = 1 << 26;
/// Tensors of one checkpoint.
pub const TENSORS_MAX: usize = 1 << 16;
/// Bytes of one shard of a checkpoint.
pub const SHARD_BYTES_MAX: usize = 4 << 30;
/// Bytes of one bucket of published weights.
pub const BUCKET_BYTES: usize = 16 << 20;
/// Bytes of one line of a streamed reply.
pub const LINE_BYTES_MAX: usize = 16 << 20;
/// Bytes of one HTTP body that is held as a whole.
pub const BODY_BYTES_MAX: usize = 1 << 30;
/// Bytes of one message between data-parallel ranks.
pub const RANK_MESSAGE_BYTES_MAX: usize = 1 << 30;
/// How long a rank waits for rank 0, which samples and judges meanwhile.
pub const RANK_TIME_MAX: Duration = Duration::from_secs(3600);
/// How long a rank tries to reach rank 0.
pub const RANK_JOIN_TIME_MAX: Duration = Duration::from_secs(60);
/// How long one that came may take to say which rank it is.
pub const RANK_HELLO_TIME_MAX: Duration = Duration::from_secs(5);
/// Requests to the judge open at once.
pub const JUDGE_REQUESTS_MAX: usize = 64;
/// How long a group may take to be judged.
pub const JUDGE_DEADLINE_MS_MAX: usize = 86_400_000;
/// Attempts at one judge request.
pub const JUDGE_ATTEMPTS_MAX: u32 = 16;
/// How long the first look whether anybody listens may take.
pub const HEARD_TIME_MAX: Duration = Duration::from_secs(2);
/// The longest pause between two attempts.
pub const JUDGE_PAUSE_MAX: Duration = Duration::from_secs(2);
/// Iterations in a row without a single valid reward after which a run gives up.
pub const BARREN_ITERATIONS_MAX: u32 = 8;
/// How long the run may wait for one thing before it says for what.
pub const SILENT_WAIT_MAX: Duration = Duration::from_secs(10);
/// Bytes of weights in shared memory.
pub const SHARED_BYTES_MAX: u64 = 64 << 30;
/// How long a worker or a rank may be silent: least and most.
pub const LEASE_MS: std::ops::RangeInclusive<usize> = 50..=3_600_000;
/// How often a worker that samples says so.
pub const ALIVE_EVERY: Duration = Duration::from_secs(1);
/// Requests to one external engine open at once.
pub const ENGINE_REQUESTS_MAX: usize = 64;
/// Versions of weights that are kept in a folder for external engines.
pub const ENGINE_FOLDERS_KEPT: usize = 2;
/// Attempts at one part of the sampling by different workers.
pub const WORKER_ATTEMPTS_MAX: u32 = 8;
/// Warm starts whose weights are kept for runs that start alike.
pub const WARM_STARTS_KEPT: usize = 8;
/// Tokens at the end of a trajectory that are searched for a repetition.
pub const REPETITION_WINDOW: usize = 512;
/// The longest period that counts as a repetition.
pub const REPETITION_PERIOD_MAX: usize = 128;
/// Repeats of a period that count.
pub const REPETITION_REPEATS_MIN: usize = 4;
/// Tokens that the repeats must cover.
pub const REPETITION_TOKENS_MIN: usize = 64;
