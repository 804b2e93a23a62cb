//! Rotary position embeddings: pairs (i, i + d/2) of a head are turned by an angle that grows with
//! the position, in the layout of Hugging Face checkpoints.

use std::f64::consts::TAU;

use tch::{Device, Kind, Tensor};

use super::config::{ModelConfig, RopeScaling};
use super::dim;

/// Cosines and sines of all positions, each `[position, head_dim]`.
#[derive(Debug)]
pub(super) struct Rope {
    cosines: Tensor,
    sines: Tensor,
}

impl Rope {
    pub(super) fn new(config: &ModelConfig, positions: usize, kind: Kind, device: Device) -> Self {
        let inverse = Tensor::from_slice(&inverse_frequencies(config)).to_kind(Kind::Float);
        let positions = Tensor::arange(dim(positions), (Kind::Float, Device::Cpu));
        let angles = positions.unsqueeze(1) * inverse.unsqueeze(0);
        let both = Tensor::cat(&[&angles, &angles], 1);
        let table = |values: Tensor| values.to_kind(kind).to_device(device);
        Self { cosines: table(both.cos()), sines: table(both.sin()) }
    }

    pub(super) fn positions(&self) -> i64 {
        self.cosines.size()[0]
    }

    /// Cosines and sines at `positions` `[batch, time]`, each `[batch, 1, time, head_dim]`.
    pub(super) fn at(&self, positions: &Tensor) -> (Tensor, Tensor) {
        let mut shape = positions.size();
        shape.insert(1, 1);
        shape.push(-1);
        let flat = positions.reshape([-1]);
        let pick = |table: &Tensor| table.index_select(0, &flat).view(shape.as_slice());
        (pick(&self.cosines), pick(&self.sines))
    }
}

/// Turns `states` `[batch, heads, time, head_dim]`.
pub(super) fn rotate(states: &Tensor, (cosines, sines): &(Tensor, Tensor)) -> Tensor {
    let halves = states.chunk(2, -1);
    let turned = Tensor::cat(&[&halves[1].neg(), &halves[0]], -1);
    states * cosines + turned * sines
}

fn inverse_frequencies(config: &ModelConfig) -> Vec<f64> {
    let width = config.head_dim as f64;
    let plain = (0..config.head_dim / 2).map(|i| config.rope_theta.powf(-2.0 * i as f64 / width));
    let stretched = |frequency: f64| match config.rope_scaling {
        RopeScaling::None => frequency,
        RopeScaling::Linear { factor } => frequency / factor,
        RopeScaling::Llama3 { factor, low, high, original } => {
            let wavelength = TAU / frequency;
            if wavelength < original / high {
                frequency
            } else if wavelength > original / low {
                frequency / factor
            } else {
                let smooth = (original / wavelength - low) / (high - low);
                (1.0 - smooth) * frequency / factor + smooth * frequency
            }
        }
    };
    plain.map(stretched).collect()
}
