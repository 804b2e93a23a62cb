//! AdamW with a state that can be saved, bounded gradients, and 32-bit copies of weights that have
//! fewer bits (arXiv 1711.05101).

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::model::{Decoder, ModelError};

/// When the moments are forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reset {
    /// At the start of each iteration, where the reference changes: k1.5 section 2.3.2.
    Iteration,
    /// Never.
    Never,
}

/// The knobs of the optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Step size.
    pub learning_rate: f64,
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root.
    pub epsilon: f64,
    /// Decay of weights that are matrices.
    pub weight_decay: f64,
    /// Gradients are scaled down to this norm, all weights together.
    pub gradient_norm_max: f64,
    /// When the moments are forgotten.
    pub reset: Reset,
    /// After a reset, the step size grows linearly over so many steps: the first step of Adam has
    /// the size of the step size whatever the gradient.
    pub warm_up_steps: u64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-8,
            weight_decay: 0.0,
            gradient_norm_max: 1.0,
            reset: Reset::Never,
            warm_up_steps: 0,
        }
    }
}

/// AdamW over the parameters of one decoder.
#[derive(Debug)]
pub struct AdamW {
    config: OptimizerConfig,
    steps: u64,
    /// For each parameter: mean of gradients, mean of squares, and the precise weights where the
    /// parameter itself has fewer bits.
    state: Vec<Moments>,
}

#[derive(Debug)]
struct Moments {
    mean: Tensor,
    square: Tensor,
    precise: Option<Tensor>,
}

impl AdamW {
    /// An optimizer that has seen nothing.
    #[must_use]
    pub fn new(config: OptimizerConfig, decoder: &Decoder) -> Self {
        let _no_gradient = tch::no_grad_guard();
        let moments = |parameter: &crate::model::Parameter| {
            let kind = precise_kind(parameter.tensor.kind());
            let zeros = || parameter.tensor.detach().zeros_like().to_kind(kind);
            let precise =
                (kind != parameter.tensor.kind()).then(|| parameter.tensor.detach().to_kind(kind));
            Moments { mean: zeros(), square: zeros(), precise }
        };
        Self { config, steps: 0, state: decoder.parameters().iter().map(moments).collect() }
    }

    /// Forgets the moments if an iteration's start asks for it.
    pub fn start_iteration(&mut self) {
        if self.config.reset == Reset::Iteration {
            self.steps = 0;
            for moments in &mut self.state {
                let _zeroed = moments.mean.zero_();
                let _zeroed = moments.square.zero_();
            }
        }
    }

    /// Moves the weights along their gradients, which are forgotten; returns the norm that the
    /// gradients had. Weights without a gradient, or with one that is no number, stay: then the
    /// norm is no number either.
    pub fn step(&mut self, decoder: &Decoder) -> f64 {
        let _no_gradient = tch::no_grad_guard();
        let norm = gradient_norm(decoder);
        if norm.is_finite() {
            self.steps += 1;
            let shrink = (self.config.gradient_norm_max / (norm + 1e-12)).min(1.0);
            for (parameter, moments) in decoder.parameters().iter().zip(&mut self.state) {
                let gradient = parameter.tensor.grad();
                if gradient.defined() {
                    update(
                        &self.config,
                        self.steps,
                        moments,
                        (&parameter.tensor, gradient * shrink),
                    );
                }
            }
        }
        clear_gradients(decoder);
        norm
    }

    /// All that a checkpoint must hold beside the weights.
    #[must_use]
    pub fn state(&self, decoder: &Decoder) -> Vec<(String, Tensor)> {
        let mut tensors = Vec::new();
        for (parameter, moments) in decoder.parameters().iter().zip(&self.state) {
            let mut push = |part: &str, tensor: &Tensor| {
                tensors.push((format!("{part}.{}", parameter.name), tensor.copy()));
            };
            push("mean", &moments.mean);
            push("square", &moments.square);
            if let Some(precise) = &moments.precise {
                push("precise", precise);
            }
        }
        let steps = i64::try_from(self.steps).unwrap_or(i64::MAX);
        tensors.push(("steps".to_owned(), Tensor::from_slice(&[steps])));
        tensors
    }

    /// Takes over the state of a checkpoint.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape.
    pub fn load(
        &mut self,
        decoder: &Decoder,
        tensors: &[(String, Tensor)],
    ) -> Result<(), ModelError> {
        let _no_gradient = tch::no_grad_guard();
        let find = |name: String| {
            let found = tensors.iter().find(|(other, _)| *other == name);
            let missing = ModelError::Tensor { name, reason: "is missing".to_owned() };
            found.map(|(_, tensor)| tensor).ok_or(missing)
        };
        for (parameter, moments) in decoder.parameters().iter().zip(&mut self.state) {
            let copy = |part: &str, target: &mut Tensor| -> Result<(), ModelError> {
                let name = format!("{part}.{}", parameter.name);
                let source = find(name.clone())?;
                if source.size() != target.size() {
                    let reason = format!("is {:?}", source.size());
                    return Err(ModelError::Tensor { name, reason });
                }
                target.copy_(source);
                Ok(())
            };
            copy("mean", &mut moments.mean)?;
            copy("square", &mut moments.square)?;
            if let Some(precise) = &mut moments.precise {
                copy("precise", precise)?;
            }
        }
        let steps = find("steps".to_owned())?.int64_value(&[0]);
        self.steps = u64::try_from(steps).unwrap_or(0);
        Ok(())
    }
}

/// The euclidean norm of all gradients together.
#[must_use]
pub fn gradient_norm(decoder: &Decoder) -> f64 {
    let _no_gradient = tch::no_grad_guard();
    let gradients = decoder.parameters().iter().map(|parameter| parameter.tensor.grad());
    let squares: Vec<Tensor> = gradients
        .filter(Tensor::defined)
        .map(|gradient| gradient.to_kind(Kind::Double).square().sum(Kind::Double))
        .collect();
    if squares.is_empty() {
        0.0
    } else {
        Tensor::stack(&squares, 0).sum(None).double_value(&[]).sqrt()
    }
}

/// Forgets all gradients.
pub fn clear_gradients(decoder: &Decoder) {
    for parameter in decoder.parameters() {
        let mut gradient = parameter.tensor.grad();
        if gradient.defined() {
            let _zeroed = gradient.detach_().zero_();
        }
    }
}

fn update(config: &OptimizerConfig, steps: u64, moments: &mut Moments, of: (&Tensor, Tensor)) {
    let (parameter, gradient) = of;
    let gradient = gradient.to_kind(moments.mean.kind());
    let _decayed = moments.mean.g_mul_scalar_(config.beta1);
    let _added = moments.mean.g_add_(&(&gradient * (1.0 - config.beta1)));
    let _decayed = moments.square.g_mul_scalar_(config.beta2);
    let _added = moments.square.g_add_(&(gradient.square() * (1.0 - config.beta2)));
    let power = i32::try_from(steps).unwrap_or(i32::MAX);
    let mean_scale = 1.0 - config.beta1.powi(power);
    let square_scale = 1.0 - config.beta2.powi(power);
    let warm_up =
        if steps < config.warm_up_steps { steps as f64 / config.warm_up_steps as f64 } else { 1.0 };
    let rate = config.learning_rate * warm_up;
    let root = (&moments.square / square_scale).sqrt() + config.epsilon;
    let change = &moments.mean / mean_scale / root * rate;
    let mut target = match &moments.precise {
        Some(precise) => precise.shallow_clone(),
        None => parameter.detach(),
    };
    if config.weight_decay > 0.0 && target.dim() > 1 {
        let _decayed = target.g_mul_scalar_(1.0 - rate * config.weight_decay);
    }
    let _moved = target.g_sub_(&change);
    if moments.precise.is_some() {
        parameter.detach().copy_(&target);
    }
}

fn precise_kind(kind: Kind) -> Kind {
    if kind == Kind::Double { Kind::Double } else { Kind::Float }
}
