//! A task on the wire.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use shared::store::tasks::{StoredTask, TaskError};
use shared::tasks::Status;
use utoipa::ToSchema;
use uuid::Uuid;

/// A background task and its state.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0198c8f5-6b1e-7c3a-9d52-2f0e8a41b7c6", "kind": "welcome_mail", "status": "succeeded",
    "owner_id": "0198c8f5-1d07-7f42-8b3e-90aa5c1d44e1", "progress": 100, "attempts": 1, "result": null, "error": null,
    "created_at": "2026-11-21T10:00:00Z", "started_at": "2026-11-21T10:00:01Z",
    "finished_at": "2026-11-21T10:00:02Z", "not_before": null,
}))]
pub(crate) struct Task {
    id: Uuid,
    #[schema(example = "welcome_mail")]
    kind: String,
    status: Status,
    /// Whose task it is; null for one of the house.
    owner_id: Option<Uuid>,
    /// Percent.
    #[schema(example = 100)]
    progress: u32,
    /// How often it was begun.
    #[schema(example = 1)]
    attempts: u32,
    /// What came of it, once it has succeeded.
    result: Option<Value>,
    error: Option<TaskFailure>,
    created_at: Timestamp,
    /// When its last attempt began.
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    /// It waits until then, if that is to come.
    not_before: Option<Timestamp>,
}

/// Why the last attempt failed.
#[derive(Debug, Serialize, ToSchema)]
struct TaskFailure {
    #[schema(example = "unavailable")]
    code: String,
    #[schema(example = "A service that this needs does not answer; try again.")]
    message: String,
    /// What happened in detail; for administrators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "send the mail: connection refused")]
    cause: Option<String>,
}

impl Task {
    pub(crate) fn of(task: StoredTask, for_admin: bool) -> Self {
        let failure = |error: TaskError| TaskFailure {
            code: error.code,
            message: error.message,
            cause: for_admin.then_some(error.cause),
        };
        let time = |seconds| Timestamp::from_second(seconds).ok();
        Self {
            id: task.id,
            kind: task.kind,
            status: task.status,
            owner_id: task.owner,
            progress: task.progress,
            attempts: task.attempts,
            result: task.result,
            error: task.error.map(failure),
            created_at: task.created_at,
            started_at: task.started_at,
            finished_at: task.finished_at,
            not_before: task.not_before.and_then(time),
        }
    }
}
