//! Every bound of the crate. Work is bounded by counts, never by a clock, so a
//! decision is the same on every machine and on every replay.

/// Longest reference or answer that is read, in bytes; longer ones are undecided.
pub const INPUT_BYTES_MAX: usize = 8 * 1024;

/// Longest reference or answer of a named type (texts, JSON, outputs), in bytes.
pub const TYPED_BYTES_MAX: usize = 1024 * 1024;

/// Most values of a JSON answer.
pub const JSON_VALUES_MAX: usize = 64 * 1024;

/// Longest completion that extraction looks at, in bytes, counted from its end.
pub const COMPLETION_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Deepest nesting of groups, exponents and function arguments that is parsed.
pub const DEPTH_MAX: usize = 48;

/// Most tokens in one text.
pub const TOKENS_MAX: usize = 4096;

/// Most nodes of the shared expression pool of one comparison.
pub const NODES_MAX: usize = 16 * 1024;

/// Most entries of a list, set, tuple or matrix.
pub const ENTRIES_MAX: usize = 256;

/// Most readings of one ambiguous text.
pub const READINGS_MAX: usize = 6;

/// Largest integer that is computed exactly, in bits.
pub const INTEGER_BITS_MAX: usize = 1 << 16;

/// Largest argument of a factorial that is multiplied out.
pub const FACTORIAL_MAX: u32 = 5_000;

/// Most terms of a sum or product that is written out.
pub const SERIES_TERMS_MAX: i64 = 200;

/// Units of work of one comparison. A unit is about 50 ns to 100 ns on a server core.
pub const FUEL: u64 = 90_000;

/// Work of exact arithmetic on long numbers in one comparison: products of lengths in
/// words. A unit is about 2 ns.
pub const EXACT_WORK: u64 = 4_000_000;

/// Precisions of ball arithmetic, in bits, tried in this order.
pub const PRECISIONS: [usize; 3] = [96, 192, 448];

/// Precision above which no constant is evaluated, in bits.
pub const PRECISION_MAX: usize = 3 * 1024;

/// Bits that two balls must share before their closeness counts as equality.
pub const AGREEMENT_BITS: i64 = 64;

/// Sample points of an expression with variables: tried, and needed in the domain.
pub const SAMPLES_TRIED: usize = 16;
/// Valid sample points that must agree before two expressions count as equal.
pub const SAMPLES_NEEDED: usize = 4;

/// Constants of an expression with corners, around which it is looked at as well.
pub const CORNERS_MAX: usize = 4;

/// Binary exponent beyond which a magnitude counts as out of reach.
pub const EXPONENT_MAX: i64 = 1 << 40;

const _: () = assert!(SAMPLES_NEEDED <= SAMPLES_TRIED);
const _: () = assert!(PRECISIONS[2] <= PRECISION_MAX);
const _: () = assert!(AGREEMENT_BITS < 96 && PRECISIONS[0] == 96);
