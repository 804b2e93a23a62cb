//! What every 4xx and 5xx reply carries.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of every error reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// What was wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetail {
    /// A stable word for programs, such as `unknown_language`.
    #[schema(examples("unknown_language"))]
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}
