//! The transformer itself: norm, attention, norm, feed-forward, as the three families have it.
//!
//! Shapes: `batch` sequences, `time` positions, `hidden` width. The same weights serve training
//! (causal over whole sequences) and sampling (one position with a cache), so what is sampled and
//! what is trained can only differ by rounding.

use tch::{Device, Kind, Tensor};

use super::config::{Family, ModelConfig};
use super::rope::{Rope, rotate};
use super::{KvCache, ModelError, dim};
use crate::random::Stream;

/// A named tensor that trains.
#[derive(Debug)]
pub struct Parameter {
    /// Its name in checkpoints.
    pub name: String,
    /// Its value.
    pub tensor: Tensor,
}

/// A decoder with its weights.
#[derive(Debug)]
pub struct Decoder {
    config: ModelConfig,
    kind: Kind,
    device: Device,
    parameters: Vec<Parameter>,
    rope: Rope,
    embedding: Tensor,
    layers: Vec<Layer>,
    norm: Tensor,
    head: Tensor,
}

#[derive(Debug)]
struct Layer {
    attention_norm: Tensor,
    queries: Linear,
    keys: Linear,
    values: Linear,
    output: Linear,
    query_norm: Option<Tensor>,
    key_norm: Option<Tensor>,
    feed_norm: Tensor,
    gate: Linear,
    up: Linear,
    down: Linear,
}

#[derive(Debug)]
struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

/// Where the keys and values of earlier positions come from.
#[derive(Debug)]
pub enum Context<'a> {
    /// There are none: whole sequences from their start.
    Whole,
    /// Whole sequences from their start, whose keys and values are stored in these slots
    /// (`[batch]`).
    Fill(&'a mut KvCache, &'a Tensor),
    /// One position for each slot, after what the cache holds.
    Append {
        /// The cache.
        cache: &'a mut KvCache,
        /// How many of its positions are looked at.
        length: i64,
    },
}

impl Decoder {
    /// Puts a decoder together from named tensors of any kind.
    ///
    /// # Errors
    /// A tensor that is missing, of another shape, or not part of such a model.
    pub fn new(
        config: ModelConfig,
        tensors: Vec<(String, Tensor)>,
        kind: Kind,
        device: Device,
    ) -> Result<Self, ModelError> {
        let mut given = tensors;
        let mut parameters = Vec::new();
        for (name, shape) in expected(&config) {
            let at = given.iter().position(|(other, _)| *other == name);
            let (_, tensor) = given.swap_remove(at.ok_or_else(|| missing(&name))?);
            if tensor.size() != shape {
                let reason = format!("is {:?}, not {shape:?}", tensor.size());
                return Err(ModelError::Tensor { name, reason });
            }
            let tensor = tensor.detach().to_device(device).to_kind(kind).copy();
            parameters.push(Parameter { name, tensor: tensor.set_requires_grad(true) });
        }
        // A tied model may come with a copy of its embedding as the output layer.
        given.retain(|(name, _)| !(config.tied && name == "lm_head.weight"));
        if let Some((name, _)) = given.pop() {
            let reason = "is not part of such a model".to_owned();
            return Err(ModelError::Tensor { name, reason });
        }
        let rope = Rope::new(&config, config.positions_max, wide(kind), device);
        let mut taken = parameters.iter().map(|parameter| parameter.tensor.shallow_clone());
        let mut next = || taken.next().ok_or_else(|| missing("parameter"));
        let embedding = next()?;
        let layers = (0..config.layers)
            .map(|_| Layer::take(&config, &mut next))
            .collect::<Result<_, _>>()?;
        let norm = next()?;
        let head = if config.tied { embedding.shallow_clone() } else { next()? };
        drop(taken);
        Ok(Self { config, kind, device, parameters, rope, embedding, layers, norm, head })
    }

    /// A decoder with random weights: normal with deviation 0.02 as the families are initialized,
    /// the two layers that write to the residual stream scaled down by its depth.
    ///
    /// # Errors
    /// None for a configuration that was checked.
    pub fn random(
        config: ModelConfig,
        seed: u64,
        kind: Kind,
        device: Device,
    ) -> Result<Self, ModelError> {
        let depth = (2.0 * config.layers as f64).sqrt();
        let mut tensors = Vec::new();
        for (at, (name, shape)) in expected(&config).into_iter().enumerate() {
            let mut stream = Stream::new(&[seed, dim(at).unsigned_abs()]);
            let count: i64 = shape.iter().product();
            let scale = match name.as_str() {
                _ if name.ends_with("norm.weight") => 0.0,
                _ if name.ends_with(".bias") => 0.0,
                _ if name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight") => {
                    0.02 / depth
                }
                _ => 0.02_f64.max(0.3 / (config.hidden as f64).sqrt() / 2.0),
            };
            let offset = if name.ends_with("norm.weight") { 1.0 } else { 0.0 };
            let values: Vec<f64> = (0..count).map(|_| offset + scale * stream.normal()).collect();
            tensors.push((name, Tensor::from_slice(&values).view(shape.as_slice())));
        }
        Self::new(config, tensors, kind, device)
    }

    /// Its shape.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The kind of its weights.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it is.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// Its weights, in the order of the model.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Names and copies of its weights.
    #[must_use]
    pub fn snapshot(&self) -> Vec<(String, Tensor)> {
        let copy = |parameter: &Parameter| {
            (parameter.name.clone(), tch::no_grad(|| parameter.tensor.detach().copy()))
        };
        self.parameters.iter().map(copy).collect()
    }

    /// Takes over other weights, in place.
    ///
    /// # Errors
    /// Names or shapes that differ; then nothing was changed.
    pub fn load(&mut self, tensors: &[(String, Tensor)]) -> Result<(), ModelError> {
        if tensors.len() != self.parameters.len() {
            let (found, wanted) = (tensors.len(), self.parameters.len());
            return Err(ModelError::Config(format!("{found} tensors for {wanted}")));
        }
        for (parameter, (name, tensor)) in self.parameters.iter().zip(tensors) {
            if parameter.name != *name || parameter.tensor.size() != tensor.size() {
                let reason = format!("in place of {}", parameter.name);
                return Err(ModelError::Tensor { name: name.clone(), reason });
            }
        }
        tch::no_grad(|| {
            for (parameter, (_, tensor)) in self.parameters.iter_mut().zip(tensors) {
                parameter.tensor.copy_(tensor);
            }
        });
        Ok(())
    }

    /// The last hidden states, normalized. `tokens`, `positions`: `[batch, time]`; result:
    /// `[batch, time, hidden]`. Sequences are padded on the right, where causality keeps padding
    /// from being seen.
    pub fn hidden(&self, tokens: &Tensor, positions: &Tensor, context: &mut Context<'_>) -> Tensor {
        debug_assert!(self.rope.positions() > 0, "there are positions");
        let mut states = Tensor::embedding(&self.embedding, tokens, -1, false, false);
        let (cosines, sines) = self.rope.at(positions);
        let turn = (cosines.to_kind(self.kind), sines.to_kind(self.kind));
        let mask = match context {
            Context::Whole | Context::Fill(..) => None,
            Context::Append { length, .. } => {
                let seen = Tensor::arange(*length, (Kind::Int64, self.device));
                Some(seen.le_tensor(positions).unsqueeze(1).unsqueeze(1))
            }
        };
        for (at, layer) in self.layers.iter().enumerate() {
            let normed = self.normalize(&states, &layer.attention_norm);
            let place = Place { layer: at, positions, turn: &turn, mask: mask.as_ref() };
            // Not in place: the backward pass needs the states as they were.
            states = self.attention(layer, &normed, &place, context) + &states;
            let normed = self.normalize(&states, &layer.feed_norm);
            let gated = layer.gate.apply(&normed).silu() * layer.up.apply(&normed);
            states = layer.down.apply(&gated) + &states;
        }
        self.normalize(&states, &self.norm)
    }

    /// Scores of all tokens: `[.., hidden]` to `[.., vocabulary]`, in at least 32 bits.
    pub fn logits(&self, hidden: &Tensor) -> Tensor {
        hidden.linear(&self.head, None::<Tensor>).to_kind(wide(self.kind))
    }

    fn attention(
        &self,
        layer: &Layer,
        states: &Tensor,
        place: &Place<'_>,
        context: &mut Context<'_>,
    ) -> Tensor {
        let (batch, time) = (states.size()[0], states.size()[1]);
        let width = dim(self.config.head_dim);
        let split = |projected: Tensor| projected.view([batch, time, -1, width]).transpose(1, 2);
        let normed = |states: Tensor, norm: &Option<Tensor>| match norm {
            Some(norm) => self.normalize(&states, norm),
            None => states,
        };
        let queries = normed(split(layer.queries.apply(states)), &layer.query_norm);
        let keys = normed(split(layer.keys.apply(states)), &layer.key_norm);
        let values = split(layer.values.apply(states));
        let queries = rotate(&queries, place.turn);
        let keys = rotate(&keys, place.turn);
        let (keys, values) = match context {
            Context::Whole => (keys, values),
            Context::Fill(cache, slots) => {
                cache.fill(place.layer, slots, &keys, &values);
                (keys, values)
            }
            Context::Append { cache, length } => {
                cache.append(place.layer, (place.positions, *length), &keys, &values)
            }
        };
        let shared = self.config.heads != self.config.kv_heads;
        let mask = place.mask;
        let mixed = Tensor::scaled_dot_product_attention(
            &queries,
            &keys,
            &values,
            mask,
            0.0,
            mask.is_none(),
            None,
            shared,
        );
        layer.output.apply(&mixed.transpose(1, 2).reshape([batch, time, -1]))
    }

    /// `x / sqrt(mean(x^2) + epsilon) * weight`, computed in at least 32 bits.
    fn normalize(&self, states: &Tensor, weight: &Tensor) -> Tensor {
        let precise = states.to_kind(wide(self.kind));
        let square = precise.square().mean_dim(-1, true, None);
        let scaled = precise * (square + self.config.norm_epsilon).rsqrt();
        scaled.to_kind(self.kind) * weight
    }
}

struct Place<'a> {
    layer: usize,
    positions: &'a Tensor,
    turn: &'a (Tensor, Tensor),
    mask: Option<&'a Tensor>,
}

impl Layer {
    /// Takes the tensors of one layer, in the order of [`expected`].
    fn take(
        config: &ModelConfig,
        next: &mut impl FnMut() -> Result<Tensor, ModelError>,
    ) -> Result<Self, ModelError> {
        let bias = config.attention_bias;
        let norms = config.family == Family::Qwen3;
        let attention_norm = next()?;
        let mut linear = |bias: bool| -> Result<Linear, ModelError> {
            let weight = next()?;
            Ok(Linear { weight, bias: if bias { Some(next()?) } else { None } })
        };
        let (queries, keys, values) = (linear(bias)?, linear(bias)?, linear(bias)?);
        let output = linear(false)?;
        let query_norm = if norms { Some(next()?) } else { None };
        let key_norm = if norms { Some(next()?) } else { None };
        let feed_norm = next()?;
        let mut linear =
            || -> Result<Linear, ModelError> { Ok(Linear { weight: next()?, bias: None }) };
        let (gate, up, down) = (linear()?, linear()?, linear()?);
        Ok(Self {
            attention_norm,
            queries,
            keys,
            values,
            output,
            query_norm,
            key_norm,
            feed_norm,
            gate,
            up,
            down,
        })
    }
}

impl Linear {
    fn apply(&self, input: &Tensor) -> Tensor {
        input.linear(&self.weight, self.bias.as_ref())
    }
}

/// Names and shapes of all tensors, in the order in which they are taken.
fn expected(config: &ModelConfig) -> Vec<(String, Vec<i64>)> {
    let hidden = dim(config.hidden);
    let (queries, keys) =
        (dim(config.heads * config.head_dim), dim(config.kv_heads * config.head_dim));
    let (wide, vocabulary) = (dim(config.intermediate), dim(config.vocabulary));
    let mut all = vec![("model.embed_tokens.weight".to_owned(), vec![vocabulary, hidden])];
    for layer in 0..config.layers {
        let mut push = |name: &str, shape: Vec<i64>| {
            all.push((format!("model.layers.{layer}.{name}"), shape));
        };
        push("input_layernorm.weight", vec![hidden]);
        for (name, width) in [("q", queries), ("k", keys), ("v", keys)] {
            push(&format!("self_attn.{name}_proj.weight"), vec![width, hidden]);
            if config.attention_bias {
                push(&format!("self_attn.{name}_proj.bias"), vec![width]);
            }
        }
        push("self_attn.o_proj.weight", vec![hidden, queries]);
        if config.family == Family::Qwen3 {
            push("self_attn.q_norm.weight", vec![dim(config.head_dim)]);
            push("self_attn.k_norm.weight", vec![dim(config.head_dim)]);
        }
        push("post_attention_layernorm.weight", vec![hidden]);
        push("mlp.gate_proj.weight", vec![wide, hidden]);
        push("mlp.up_proj.weight", vec![wide, hidden]);
        push("mlp.down_proj.weight", vec![hidden, wide]);
    }
    all.push(("model.norm.weight".to_owned(), vec![hidden]));
    if !config.tied {
        all.push(("lm_head.weight".to_owned(), vec![vocabulary, hidden]));
    }
    all
}

fn missing(name: &str) -> ModelError {
    ModelError::Tensor { name: name.to_owned(), reason: "is missing".to_owned() }
}

/// The kind to be precise in: at least 32 bits.
fn wide(kind: Kind) -> Kind {
    if kind == Kind::Double { Kind::Double } else { Kind::Float }
}
