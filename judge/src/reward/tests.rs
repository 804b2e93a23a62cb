//! What rewards are, and above all what does not earn one.

use proptest::prelude::*;

use super::*;

fn spec(json: &str) -> RewardSpec {
    serde_json::from_str(json).unwrap()
}

fn response(text: &str) -> Response<'_> {
    let length = length::Place { length: 10, min: 10, max: 20 };
    Response { text, subject: Subject::Answer, length }
}

fn plan(json: &str, text: &str) -> Result<Plan, RewardError> {
    Plan::read(&spec(json), response(text), &["head".to_owned()])
}

fn right() -> Facts {
    Facts { accepted: true, rules: Some(true), ..Facts::default() }
}

#[test]
fn only_accepted_earns() {
    assert!((reward(Verdict::Accepted) - 1.0).abs() < f64::EPSILON);
    for verdict in [
        Verdict::WrongAnswer,
        Verdict::TimeLimitExceeded,
        Verdict::WallTimeLimitExceeded,
        Verdict::MemoryLimitExceeded,
        Verdict::OutputLimitExceeded,
        Verdict::RuntimeError,
        Verdict::CompileError,
        Verdict::NotCollected,
        Verdict::PatchError,
    ] {
        assert!(reward(verdict).abs() < f64::EPSILON, "{verdict:?}");
    }
}

#[test]
fn without_components_the_verdict_is_the_reward() {
    let none = Plan::default();
    assert_eq!(compose(&none, &right()).reward, 1.0);
    assert_eq!(compose(&none, &Facts::default()).reward, 0.0);
    assert!(compose(&none, &right()).parts.is_empty());
}

#[test]
fn a_gate_that_is_not_passed_closes_what_stands_after_it() {
    let json = r#"{"components":[
        {"kind":"format","format":{"boxed":true},"weight":0.1,"gate":true},
        {"kind":"correctness"},
        {"kind":"length","weight":0.2}]}"#;
    let passed = compose(&plan(json, "\\boxed{4}").unwrap(), &right());
    assert!((passed.reward - 1.2).abs() < 1e-12, "{passed:?}");
    let closed = compose(&plan(json, "4").unwrap(), &right());
    assert_eq!(closed.reward, 0.0);
    assert_eq!([closed.parts[0].gated, closed.parts[1].gated], [false, true]);
    assert_eq!(closed.parts[1].value, Some(1.0));
}

#[test]
fn what_decided_is_told_apart() {
    let json = r#"{"components":[{"kind":"math"},{"kind":"judge","weight":0.5},{"kind":"value_head","weight":0.25}]}"#;
    let plan = plan(json, "4").unwrap();
    assert_eq!(plan.value_head(), Some("head"));
    assert_eq!(compose(&plan, &right()).reward, 1.0);
    let judged =
        Facts { accepted: true, judge: Some(0.8), value_head: Some(0.4), ..Facts::default() };
    let found = compose(&plan, &judged);
    assert!((found.reward - 0.5).abs() < 1e-12);
    assert_eq!(found.parts[0].value, None);
}

#[test]
fn rewards_that_make_no_sense_are_refused() {
    for json in [
        r#"{"components":[]}"#,
        r#"{"components":[{"kind":"tests"}]}"#,
        r#"{"components":[{"kind":"correctness","weight":1e9}]}"#,
        r#"{"components":[{"kind":"format"}]}"#,
        r#"{"components":[{"kind":"format","format":{}}]}"#,
        r#"{"components":[{"kind":"format","format":{"tags":["a b"]}}]}"#,
        r#"{"components":[{"kind":"math","format":{"boxed":true}}]}"#,
        r#"{"components":[{"kind":"length","gate":true}]}"#,
        r#"{"components":[{"kind":"value_head","model":"other"}]}"#,
        r#"{"components":[{"kind":"math","model":"head"}]}"#,
    ] {
        assert!(plan(json, "4").is_err(), "{json}");
    }
    let program = Response { subject: Subject::Program, ..response("x") };
    assert!(Plan::read(&spec(r#"{"components":[{"kind":"math"}]}"#), program, &[]).is_err());
    assert!(Plan::read(&spec(r#"{"components":[{"kind":"tests"}]}"#), program, &[]).is_ok());
    assert!(Plan::read(&spec(r#"{"components":[{"kind":"value_head"}]}"#), program, &[]).is_err());
}

proptest! {
    #[test]
    fn a_reward_is_the_sum_of_what_its_parts_add(
        weights in prop::collection::vec(-5.0..5.0_f64, 1..6),
        gates in prop::collection::vec(any::<bool>(), 6),
        accepted: bool,
        judge in prop::option::of(0.0..=1.0_f64),
    ) {
        let kinds = ["correctness", "math", "judge"];
        let components: Vec<_> = weights.iter().enumerate().map(|(index, weight)| {
            serde_json::json!({"kind": kinds[index % 3], "weight": weight, "gate": gates[index]})
        }).collect();
        let json = serde_json::json!({ "components": components }).to_string();
        let facts = Facts { accepted, rules: judge.is_none().then_some(accepted), judge, ..Facts::default() };
        let found = compose(&plan(&json, "4").unwrap(), &facts);
        let sum: f64 = found.parts.iter().map(|part| part.contribution).sum();
        prop_assert!((found.reward - sum).abs() < 1e-12);
        let closed = found.parts.iter().zip(&gates)
            .position(|(part, gate)| *gate && part.value.is_none_or(|value| value < 1.0));
        for (index, part) in found.parts.iter().enumerate() {
            prop_assert_eq!(part.gated, closed.is_some_and(|closed| index > closed));
            if part.gated {
                prop_assert_eq!(part.contribution, 0.0);
            }
        }
    }

    #[test]
    fn being_right_never_pays_less(weight in 0.0..5.0_f64, length_weight in 0.0..5.0_f64, lambda in 0_u64..=10) {
        let json = serde_json::json!({"components": [
            {"kind": "correctness", "weight": weight}, {"kind": "length", "weight": length_weight}]});
        let place = length::Place { length: 10 + lambda, min: 10, max: 20 };
        let response = Response { text: "4", subject: Subject::Answer, length: place };
        let plan = Plan::read(&serde_json::from_value(json).unwrap(), response, &[]).unwrap();
        prop_assert!(compose(&plan, &Facts::default()).reward <= compose(&plan, &right()).reward);
    }
}
