//! Reads the body of `POST /v1/judge` and `POST /v1/batches`: groups unfolded, counts and ids
//! checked, then each submission.

use std::collections::HashSet;
use std::time::Duration;

use protocol::{JudgeRequest, Priority, RolloutGroup, Submission};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Service;
use super::body;
use super::error::ApiError;
use crate::reward::length::Groups;
use crate::task::{self, Task, TaskRules};

/// What was asked for.
#[derive(Debug)]
pub(super) struct Asked {
    /// Each submission.
    pub(super) tasks: Vec<Task>,
    /// What the request is for, where it says so.
    pub(super) priority: Option<Priority>,
    /// Bytes that its groups take when they are unfolded.
    pub(super) unfolded_bytes: usize,
}

/// Parses and checks a body.
pub(super) fn read(service: &Service, bytes: &[u8]) -> Result<Asked, ApiError> {
    /// Tells a batch from a single submission before either is parsed, so that the error is about
    /// the one that was meant.
    #[derive(Deserialize)]
    #[serde(remote = "Self")]
    struct Shape {
        submissions: Option<IgnoredAny>,
        groups: Option<IgnoredAny>,
    }

    protocol::read_object!(Shape);
    let shape: Shape = body::parse(bytes)?;
    if shape.submissions.is_none() && shape.groups.is_none() {
        let submission: Submission = body::parse(bytes)?;
        let groups = Groups::of(std::slice::from_ref(&submission))?;
        let task = service.task_rules().task(submission, 0, &groups)?;
        return Ok(Asked { tasks: vec![task], priority: None, unfolded_bytes: 0 });
    }
    let request: JudgeRequest = body::parse(bytes)?;
    let JudgeRequest { mut submissions, groups, deadline_ms, priority } = request;
    let deadline = deadline_ms.map(task::deadline).transpose()?;
    let count_max = service.config.admission.batch_submissions_max.get();
    let bytes_max = service.config.admission.body_bytes_max.get();
    let count = groups.iter().map(|group| group.completions.len()).sum::<usize>();
    check_count(submissions.len() + count, count_max)?;
    let unfolded_bytes = unfold(groups, &mut submissions, bytes_max)?;
    check_ids(&submissions)?;
    let mut tasks = read_all(&service.task_rules(), submissions)?;
    for task in &mut tasks {
        task.deadline = earlier(task.deadline, deadline);
    }
    Ok(Asked { tasks, priority, unfolded_bytes })
}

fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

fn check_count(count: usize, count_max: usize) -> Result<(), ApiError> {
    if count == 0 {
        return Err(ApiError::unprocessable(
            "empty_batch",
            "there is no submission",
            "send at least one in `submissions`, or a completion in `groups`",
        ));
    }
    if count > count_max {
        return Err(ApiError::unprocessable(
            "too_many_submissions",
            format!("the request has {count} submissions, at most {count_max} allowed"),
            "split the batch",
        ));
    }
    Ok(())
}

/// Makes a submission of each completion. Returns the bytes that this takes, which are bounded like
/// those of a body.
fn unfold(
    groups: Vec<RolloutGroup>,
    submissions: &mut Vec<Submission>,
    bytes_max: usize,
) -> Result<usize, ApiError> {
    let mut names = HashSet::new();
    let mut bytes = 0_usize;
    for (at, group) in groups.into_iter().enumerate() {
        let place = format!("groups[{at}]");
        check_group(&group).map_err(|error| error.at(&place))?;
        if !names.insert(group.group.clone()) {
            let message = format!("group {:?} is there twice", group.group);
            let hint = "give each group of a request its own name";
            return Err(ApiError::unprocessable("duplicate_group", message, hint).at(&place));
        }
        let template = serde_json::to_vec(&group.submission).map_or(usize::MAX, |json| json.len());
        bytes = bytes.saturating_add(template.saturating_mul(group.completions.len()));
        if bytes > bytes_max {
            let message = format!("unfolded, the groups take more than {bytes_max} bytes");
            return Err(ApiError::new(
                axum::http::StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                message,
                "split the batch, or raise admission.body_bytes_max in the configuration",
            ));
        }
        let lengths = group.length_tokens.map(Vec::into_iter);
        let lengths = lengths.into_iter().flatten().map(Some).chain(std::iter::repeat(None));
        let rollouts = group.completions.into_iter().zip(lengths);
        submissions.extend(rollouts.map(|(completion, length_tokens)| Submission {
            completion: Some(completion),
            group: Some(group.group.clone()),
            length_tokens,
            ..(*group.submission).clone()
        }));
    }
    Ok(bytes)
}

fn check_group(group: &RolloutGroup) -> Result<(), ApiError> {
    let common = &group.submission;
    let own = [
        ("id", common.id.is_some()),
        ("source", common.source.is_some()),
        ("answer", common.answer.is_some()),
        ("completion", common.completion.is_some()),
        ("group", common.group.is_some()),
        ("length_tokens", common.length_tokens.is_some()),
    ];
    if let Some((field, _)) = own.into_iter().find(|(_, given)| *given) {
        let message = format!("`submission` has `{field}`, which members of a group have each");
        let hint = "leave it out; `completions` and `length_tokens` of the group say it";
        return Err(ApiError::unprocessable("wrong_field", message, hint));
    }
    let (lengths, count) = (group.length_tokens.as_ref().map(Vec::len), group.completions.len());
    if let Some(lengths) = lengths.filter(|lengths| *lengths != count) {
        let message = format!("{lengths} `length_tokens` for {count} `completions`");
        return Err(ApiError::unprocessable("wrong_length", message, "give one for each"));
    }
    Ok(())
}

fn check_ids(submissions: &[Submission]) -> Result<(), ApiError> {
    let mut ids = HashSet::new();
    for (index, submission) in submissions.iter().enumerate() {
        if let Some(id) = submission.id.as_deref().filter(|id| !ids.insert(*id)) {
            return Err(ApiError::unprocessable(
                "duplicate_id",
                format!("submissions[{index}]: id {id:?} is there twice"),
                "give each submission of a request its own id, or none",
            ));
        }
    }
    Ok(())
}

fn read_all(rules: &TaskRules<'_>, submissions: Vec<Submission>) -> Result<Vec<Task>, ApiError> {
    let groups = Groups::of(&submissions)?;
    let check = |(index, submission)| {
        rules
            .task(submission, index, &groups)
            .map_err(|error| ApiError::from(error).at(&format!("submissions[{index}]")))
    };
    submissions.into_iter().enumerate().map(check).collect()
}
