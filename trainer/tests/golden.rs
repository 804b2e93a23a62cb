//! The decoder against Hugging Face transformers: committed logits of small random checkpoints, made
//! by `golden/make.py`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use serde_json::Value;
use tch::{Device, Kind, Tensor};
use trainer::model::decoder::Context;
use trainer::model::files::read_model;

fn check(family: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(family);
    let golden: Value =
        serde_json::from_slice(&std::fs::read(folder.join("golden.json")).unwrap()).unwrap();
    let decoder = read_model(&folder, Kind::Float, Device::Cpu).unwrap();
    let number = |value: &Value| value.as_i64().unwrap();
    for (row, wanted) in
        golden["tokens"].as_array().unwrap().iter().zip(golden["logits"].as_array().unwrap())
    {
        let tokens: Vec<i64> = row.as_array().unwrap().iter().map(number).collect();
        let shape = [1, i64::try_from(tokens.len()).unwrap()];
        let tokens = Tensor::from_slice(&tokens).view(shape);
        let positions = Tensor::arange(shape[1], (Kind::Int64, Device::Cpu)).view(shape);
        let logits = tch::no_grad(|| {
            decoder.logits(&decoder.hidden(&tokens, &positions, &mut Context::Whole))
        });
        let places = golden["positions"].as_array().unwrap().iter().map(number);
        for (position, wanted) in places.zip(wanted.as_array().unwrap()) {
            let wanted: Vec<f64> =
                wanted.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
            let found = logits.get(0).get(position).to_kind(Kind::Double);
            let difference = (found - Tensor::from_slice(&wanted)).abs().max().double_value(&[]);
            assert!(difference < 1e-4, "{family}, position {position}: off by {difference}");
        }
    }
}

#[test]
fn llama_gives_the_logits_of_transformers() {
    check("llama");
}

#[test]
fn qwen2_gives_the_logits_of_transformers() {
    check("qwen2");
}

#[test]
fn qwen3_gives_the_logits_of_transformers_from_shards() {
    check("qwen3");
}
