//! Keys and values of the sequences that are being sampled, one slot each.

use tch::{Device, Kind, Tensor};

use super::config::ModelConfig;
use super::dim;

/// Keys and values by layer, each `[slot, kv_head, position, head_dim]`.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<(Tensor, Tensor)>,
}

impl KvCache {
    /// Room for so many slots of so many positions.
    #[must_use]
    pub fn new(config: &ModelConfig, shape: [usize; 2], kind: Kind, device: Device) -> Self {
        let [slots, positions] = shape;
        let size = [dim(slots), dim(config.kv_heads), dim(positions), dim(config.head_dim)];
        let zeros = || Tensor::zeros(size, (kind, device));
        Self { layers: (0..config.layers).map(|_| (zeros(), zeros())).collect() }
    }

    /// Keeps only these slots, in this order. `slots`: `[kept]`.
    pub fn select(&mut self, slots: &Tensor) {
        for (keys, values) in &mut self.layers {
            *keys = keys.index_select(0, slots);
            *values = values.index_select(0, slots);
        }
    }

    /// Writes the first positions of some slots. `slots`: `[batch]`; `keys`, `values`:
    /// `[batch, kv_head, time, head_dim]`.
    pub(super) fn fill(&self, layer: usize, slots: &Tensor, keys: &Tensor, values: &Tensor) {
        let time = keys.size()[2];
        let write = |cache: &Tensor, new: &Tensor| {
            let _written = cache.narrow(2, 0, time).index_copy_(0, slots, new);
        };
        let (cached_keys, cached_values) = &self.layers[layer];
        write(cached_keys, keys);
        write(cached_values, values);
    }

    /// Writes one position of every slot and returns the first `length` positions of all.
    /// `at`: `[slot, 1]`; `keys`, `values`: `[slot, kv_head, 1, head_dim]`.
    pub(super) fn append(
        &mut self,
        layer: usize,
        (at, length): (&Tensor, i64),
        keys: &Tensor,
        values: &Tensor,
    ) -> (Tensor, Tensor) {
        let index = at.view([-1, 1, 1, 1]).expand_as(keys);
        let (cached_keys, cached_values) = &mut self.layers[layer];
        let _written = cached_keys.scatter_(2, &index, keys);
        let _written = cached_values.scatter_(2, &index, values);
        (cached_keys.narrow(2, 0, length), cached_values.narrow(2, 0, length))
    }
}
