//! How large a message may be, in bytes, by the call it belongs to. A larger one ends the call with
//! `OUT_OF_RANGE` before it is read.

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What a call takes that carries names and small facts only.
pub const SMALL: usize = 64 * KIB;
/// The parameters or the result of one call, and any message that has no limit of its own.
pub const MESSAGE: usize = 4 * MIB;
/// One checkpoint.
pub const CHECKPOINT: usize = MIB;
/// `Execute` and `ExecuteStream`: parameters of [`MESSAGE`] with a checkpoint of [`CHECKPOINT`] and the
/// names around them.
pub const EXECUTE_REQUEST: usize = MESSAGE + CHECKPOINT + MIB;
/// One event of an `ExecuteStream`: a result of [`MESSAGE`] and the fields around it.
pub const EXECUTE_REPLY: usize = MESSAGE + SMALL;
/// One line of a log, its text.
pub const LOG_LINE: usize = 8 * KIB;
/// The message of a progress report.
pub const PROGRESS_MESSAGE: usize = KIB;
/// `CacheGetBatch`, the keys asked for.
pub const CACHE_KEYS: usize = MIB;
/// `CacheSet` in the JSON form: agents keep values of 15 MiB, written in base64.
pub const JSON_CACHE: usize = 32 * MIB;
/// `RequestApproval`, whose context a person must be able to read.
pub const APPROVAL_CONTEXT: usize = MIB;
/// A manifest: the reply to `Info` and `GetSchema`, and what `--manifest` prints.
pub const MANIFEST: usize = 4 * MIB;
