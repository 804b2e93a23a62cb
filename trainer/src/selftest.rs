//! Does this device compute what the trainer needs? Each answer is compared with one of the CPU in 64
//! bits.

use std::ops::ControlFlow;

use tch::{Device, Kind, Tensor};

use crate::model::config::{ModelConfig, RopeScaling};
use crate::model::{Decoder, Family};
use crate::optimizer::{AdamW, OptimizerConfig};
use crate::policy::{Policy, Sequence, SequenceBatch};
use crate::rollout::sampler::{Heard, SampleRequest, SamplerOptions, sample};

/// One thing that was tried, and by how much it was off.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What.
    pub name: &'static str,
    /// The largest difference.
    pub difference: f64,
    /// How large it may be.
    pub bound: f64,
}

impl Finding {
    /// Whether the difference is a number within the bound.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.difference <= self.bound
    }
}

/// Tries everything.
#[must_use]
pub fn run(device: Device) -> Vec<Finding> {
    vec![product(device), gradient(device), attention(device), draws(device), learning(device)]
}

fn noise(shape: &[i64]) -> Tensor {
    let mut stream = crate::random::Stream::new(&[shape.iter().sum::<i64>().unsigned_abs()]);
    let count: i64 = shape.iter().product();
    let values: Vec<f64> = (0..count).map(|_| stream.normal()).collect();
    Tensor::from_slice(&values).view(shape)
}

fn largest(left: &Tensor, right: &Tensor) -> f64 {
    let precise = |tensor: &Tensor| tensor.to_device(Device::Cpu).to_kind(Kind::Double);
    (precise(left) - precise(right)).abs().max().double_value(&[])
}

fn product(device: Device) -> Finding {
    let (left, right) = (noise(&[96, 64]), noise(&[64, 80]));
    let there = |tensor: &Tensor| tensor.to_kind(Kind::Float).to_device(device);
    let found = there(&left).matmul(&there(&right));
    let difference = largest(&found, &left.matmul(&right));
    Finding { name: "matrix product, 32 bits", difference, bound: 1e-2 }
}

fn gradient(device: Device) -> Finding {
    let compute = |kind: Kind, device: Device| {
        let input = noise(&[24, 16]).to_kind(kind).to_device(device).set_requires_grad(true);
        input.square().log_softmax(-1, None).select(1, 3).sum(None).backward();
        input.grad()
    };
    let difference = largest(&compute(Kind::Float, device), &compute(Kind::Double, Device::Cpu));
    Finding { name: "backward pass", difference, bound: 1e-4 }
}

fn attention(device: Device) -> Finding {
    let compute = |kind: Kind, device: Device| {
        let part = || noise(&[2, 4, 12, 16]).to_kind(kind).to_device(device);
        let (queries, keys, values) = (part(), part() * 0.5, part() * 2.0);
        let mask = None::<&Tensor>;
        Tensor::scaled_dot_product_attention(&queries, &keys, &values, mask, 0.0, true, None, false)
    };
    let difference = largest(&compute(Kind::BFloat16, device), &compute(Kind::Double, Device::Cpu));
    Finding { name: "attention, 16 bits", difference, bound: 0.15 }
}

fn policy(kind: Kind, device: Device) -> Option<Policy> {
    let config = ModelConfig {
        family: Family::Qwen3,
        vocabulary: 32,
        hidden: 32,
        intermediate: 48,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 8,
        positions_max: 64,
        norm_epsilon: 1e-6,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::None,
        tied: true,
        attention_bias: false,
        stop_tokens: vec![1],
    };
    let decoder = Decoder::random(config, 1, kind, device).ok()?;
    Some(Policy { decoder, version: 0, temperature: 1.0, suppressed: vec![0] })
}

/// Samples on the device; the log-probabilities are those of the CPU.
fn draws(device: Device) -> Finding {
    let name = "sampling with the cache";
    let missing = Finding { name, difference: f64::INFINITY, bound: 1e-3 };
    let (Some(there), Some(here)) =
        (policy(Kind::Float, device), policy(Kind::Double, Device::Cpu))
    else {
        return missing;
    };
    let options = SamplerOptions {
        temperature: 1.0,
        top_p: 1.0,
        slots: 8,
        stop_repetition: true,
        stop_tokens: vec![1],
        suppressed: vec![0],
        seed: 1,
    };
    let request = |group| SampleRequest {
        key: [group, 0],
        prompt: vec![2, 3, 4],
        prefix: Vec::new(),
        budget: 40,
        tokens_max: 40,
    };
    let requests: Vec<SampleRequest> = (0..32).map(request).collect();
    let mut difference = 0.0_f64;
    sample(&there.decoder, &options, &requests, &mut |heard| {
        let Heard::Ended(at, sampled) = heard else { return ControlFlow::Continue(()) };
        let sequence = Sequence { prompt: &requests[at].prompt, completion: &sampled.tokens };
        for (one, other) in here.logprobs(&[sequence])[0].iter().zip(&sampled.logprobs) {
            difference = difference.max(f64::from((one - other).abs()));
        }
        ControlFlow::Continue(())
    });
    Finding { difference, ..missing }
}

/// A few train steps on the device lower the loss as they do on the CPU.
fn learning(device: Device) -> Finding {
    let losses = |kind: Kind, device: Device| -> Option<Tensor> {
        let policy = policy(kind, device)?;
        let mut optimizer = AdamW::new(OptimizerConfig::default(), &policy.decoder);
        let prompt = [2, 3];
        let completion: Vec<u32> = (4..20).collect();
        let sequence = Sequence { prompt: &prompt, completion: &completion };
        let batch = SequenceBatch::new(&[sequence], device);
        let mut losses = Vec::new();
        for _ in 0..8 {
            let loss = -policy.score(&batch).logprobs.sum(Kind::Double);
            losses.push(loss.double_value(&[]));
            loss.backward();
            optimizer.step(&policy.decoder);
        }
        Some(Tensor::from_slice(&losses))
    };
    let both = (losses(Kind::Float, device), losses(Kind::Double, Device::Cpu));
    let difference = match &both {
        (Some(there), Some(here)) => largest(there, here),
        (None, _) | (_, None) => f64::INFINITY,
    };
    Finding { name: "eight train steps", difference, bound: 0.05 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_passes_and_what_is_no_number_does_not() {
        for finding in run(Device::Cpu) {
            assert!(finding.passed(), "{finding:?}");
        }
        let wrong = Finding { name: "none", difference: f64::NAN, bound: 1.0 };
        assert!(!wrong.passed());
    }
}
