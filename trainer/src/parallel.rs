//! Data-parallel training: ranks compute gradients of their part of a step and sum them.

use crate::model::Decoder;

/// What joins the gradients of all ranks.
pub trait Reduce {
    /// This rank's number, from 0.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn size(&self) -> usize;

    /// Replaces every gradient by its sum over all ranks, the same bits on each.
    fn sum_gradients(&mut self, decoder: &Decoder);
}

/// One rank alone.
#[derive(Debug)]
pub struct Single;

impl Reduce for Single {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn sum_gradients(&mut self, _decoder: &Decoder) {}
}
