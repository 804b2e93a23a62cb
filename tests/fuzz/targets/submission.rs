//! The body of `POST /v1/judge`, as far as the plan of what runs.
#![no_main]

use fuzz::{assert_sound, rules};
use judge::api::body;
use judge::assertion::Secrets;
use judge::grade::Secret;
use judge::limits::PROGRAM_LIMITS_MAX;
use judge::problem::Task;
use judge::reward::length::Groups;
use judge::submission::ValidSubmission;
use judge::task::Work;
use libfuzzer_sys::fuzz_target;
use protocol::{JudgeRequest, Submission};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = body::parse::<JudgeRequest>(bytes) {
        request.submissions.into_iter().for_each(check);
    } else if let Ok(submission) = body::parse::<Submission>(bytes) {
        check(submission);
    }
});

fn check(wire: Submission) {
    let sent = serde_json::to_vec(&wire).expect("a submission can be written");
    // It learns what it is compared with, which no program is.
    if holds(&sent, &Secret::new([0xa5; 16])) {
        return;
    }
    let again: Submission = body::parse(&sent).expect("what was read can be sent again");
    assert_eq!(again, wire);
    let Ok(groups) = Groups::of(std::slice::from_ref(&wire)) else { return };
    let Ok(task) = rules().task(wire, 0, &groups) else { return };
    if let Work::Program(submission) = task.work {
        assert_sound(&submission.problem);
        assert!(submission.limits.memory <= PROGRAM_LIMITS_MAX.memory);
        assert!(submission.limits.cpu_time <= PROGRAM_LIMITS_MAX.cpu_time);
        plan(&submission);
    }
}

/// Makes the plan, in which the program never meets the proof that it could copy.
fn plan(submission: &ValidSubmission) {
    let secrets = Secrets { proof: Secret::new([0xa5; 16]), entry: Secret::new([0x5a; 16]) };
    if let Task::Suite(suite) = &submission.problem.task {
        if let Ok(Some(plan)) = judge::suite::plan::program(submission, suite, &secrets) {
            assert!(!plan.box_files.iter().any(|file| holds(&file.content, &plan.key)));
        }
        return;
    }
    if let Ok(Some(plan)) = judge::plan::plan(submission, &secrets) {
        assert_eq!(plan.tests.len(), submission.problem.tests.len());
        assert!(!plan.box_files.iter().any(|file| holds(&file.content, &secrets.proof)));
    }
}

fn holds(content: &[u8], secret: &Secret) -> bool {
    let secret = secret.as_str().as_bytes();
    content.windows(secret.len()).any(|window| window == secret)
}
