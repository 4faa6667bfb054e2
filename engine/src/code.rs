//! Every stable error code that a user can meet. Each has a section in `docs/errors.md`; a test holds the two together.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A stable code: of an API error, or of the failure of a run or step.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As it is written in answers and journals.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

codes! {
    // --- answers of the API ---
    /// The request cannot be read.
    Malformed = "malformed",
    /// No token, or one that does not hold.
    Unauthenticated = "unauthenticated",
    /// The principal lacks the right.
    Forbidden = "forbidden",
    /// No such thing, or another tenant's.
    NotFound = "not_found",
    /// The method does not exist on this path.
    MethodNotAllowed = "method_not_allowed",
    /// The state does not allow it.
    Conflict = "conflict",
    /// `If-Match` or `If-None-Match` does not hold.
    PreconditionFailed = "precondition_failed",
    /// The body, a header or a value is over its limit.
    TooLarge = "too_large",
    /// The media type is not one that is read here.
    UnsupportedMediaType = "unsupported_media_type",
    /// The document or its values are wrong; `errors` says where.
    Invalid = "invalid",
    /// The request took longer than its limit.
    RequestTimeout = "request_timeout",
    /// Too many requests.
    RateLimited = "rate_limited",
    /// A part that is needed does not answer; nothing was accepted.
    Unavailable = "unavailable",
    /// A key, verb or route of the contract that this version does not have.
    NotSupported = "not_supported",
    /// The Idempotency-Key was used with another body.
    IdempotencyMismatch = "idempotency_mismatch",
    /// The run that this key made is over the retention and gone.
    RunExpired = "run_expired",
    /// The run has ended.
    RunEnded = "run_ended",
    /// The digest is not that of the approval as it stands.
    ApprovalChanged = "approval_changed",
    /// The approval is not pending any more.
    ApprovalClosed = "approval_closed",
    /// The rule does not let this principal decide.
    ApprovalNotAllowed = "approval_not_allowed",
    // --- failures of runs and steps ---
    /// An expression failed.
    Expression = "expression",
    /// An event could not be turned into a run's inputs.
    TriggerError = "trigger_error",
    /// An `assert` was not true.
    AssertFailed = "assert_failed",
    /// A bound of runs, journals or values was passed.
    Limit = "limit",
    /// An attempt or the run took longer than its limit.
    Timeout = "timeout",
    /// The run did not start in time.
    Stale = "stale",
    /// People said no.
    Rejected = "rejected",
    /// Nobody decided in time.
    ApprovalExpired = "approval_expired",
    /// What was about to be sent is not what was approved.
    ApprovalMismatch = "approval_mismatch",
    /// A right that the run needs was taken away.
    RightsWithdrawn = "rights_withdrawn",
    /// Somebody cancelled.
    Cancelled = "cancelled",
    /// The alert resolved.
    AlertResolved = "alert_resolved",
    /// More items failed than `max_failed` allows.
    ItemsFailed = "items_failed",
    /// The parameters do not fit the action's schema.
    ParametersInvalid = "parameters_invalid",
    /// The plugin's result does not fit the action's schema.
    OutputInvalid = "output_invalid",
    /// The plugin cannot be reached.
    PluginUnavailable = "plugin_unavailable",
    /// The plugin broke the protocol.
    PluginProtocol = "plugin_protocol",
    /// The plugin answered an error without a code of its own.
    PluginError = "plugin_error",
    /// Five attempts in a row were lost with their worker.
    AttemptsLost = "attempts_lost",
    /// It is not known whether the change was made.
    InDoubt = "in_doubt",
    /// A person said that the change was not made, or that it failed.
    ResolvedNotDone = "resolved_not_done",
    /// A secret that the step names does not exist.
    SecretMissing = "secret_missing",
    /// The run stands in a restored backup, and waits for a person.
    Restored = "restored",
    /// A stored record is damaged.
    RecordDamaged = "record_damaged",
    /// A fault of this program.
    Internal = "internal",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
