//! Data-parallel training: ranks compute gradients of their part of each step and sum them.
//!
//! Rank 0 samples, judges and keeps the books; the others get the judged groups of each iteration
//! and make the same train steps. Sums are added in the order of ranks by rank 0 and sent to all, so
//! every rank holds the same bits. A rank that is gone, or silent for too long, ends the run on all:
//! it goes on from its last checkpoint when all ranks are started again. This is TCP between
//! processes; gradients of GPUs would go by NCCL, which is not here.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::config::RunConfig;
use crate::limits::{
    RANK_HELLO_TIME_MAX, RANK_JOIN_TIME_MAX, RANK_MESSAGE_BYTES_MAX, RANK_TIME_MAX,
};
use crate::model::{Decoder, count, dim, files};
use crate::rollout::Group;

/// Between two attempts at reaching rank 0.
const JOIN_PAUSE: Duration = Duration::from_millis(100);

/// What joins the work of all ranks.
pub trait Reduce {
    /// This rank's number, from 0.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn size(&self) -> usize;

    /// Replaces every gradient by its sum over all ranks, the same bits on each.
    ///
    /// # Errors
    /// In a sentence, which rank is gone.
    fn sum_gradients(&mut self, decoder: &Decoder) -> Result<(), String>;

    /// Sends the others what they start from: weights and the optimizer's state.
    ///
    /// # Errors
    /// In a sentence, which rank is gone.
    fn start(&mut self, _tensors: &[(String, Tensor)]) -> Result<(), String> {
        Ok(())
    }

    /// Sends the others the judged groups of an iteration.
    ///
    /// # Errors
    /// In a sentence, which rank is gone.
    fn share(&mut self, _iteration: u64, _groups: &[Group]) -> Result<(), String> {
        Ok(())
    }

    /// Tells the others that the run is over.
    ///
    /// # Errors
    /// In a sentence, which rank is gone.
    fn end(&mut self) -> Result<(), String> {
        Ok(())
    }
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

    fn sum_gradients(&mut self, _decoder: &Decoder) -> Result<(), String> {
        Ok(())
    }
}

/// The groups of an iteration, as they go to the other ranks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SharedBatch {
    /// Which iteration.
    pub iteration: u64,
    /// Its judged groups.
    pub groups: Vec<Group>,
}

/// What a rank says when it comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Hello {
    rank: usize,
    ranks: usize,
    /// Hash of its configuration: another one would train something else.
    config: String,
}

/// Ranks joined by TCP. Rank 0 holds a link to each other one, the others hold one to rank 0.
#[derive(Debug)]
pub struct TcpRanks {
    rank: usize,
    size: usize,
    links: Vec<TcpStream>,
}

impl TcpRanks {
    /// Rank 0: waits for all others. What comes and is no rank is left alone.
    ///
    /// # Errors
    /// In a sentence, what went wrong.
    pub fn lead(listener: &TcpListener, size: usize, config: &RunConfig) -> Result<Self, String> {
        let mut links: Vec<Option<TcpStream>> = (1..size).map(|_| None).collect();
        while links.iter().any(Option::is_none) {
            let (mut link, _) = listener.accept().map_err(worded)?;
            prepare(&link, RANK_HELLO_TIME_MAX)?;
            let hello = receive(&mut link).ok();
            let hello: Option<Hello> = hello.and_then(|bytes| postcard::from_bytes(&bytes).ok());
            let Some(Hello { rank, ranks, config: hash }) = hello else { continue };
            if ranks != size || hash != config.hash() {
                return Err(format!("rank {rank} has another configuration or number of ranks"));
            }
            match links.get_mut(rank.wrapping_sub(1)) {
                Some(place @ None) => {
                    prepare(&link, config.ranks.silence())?;
                    *place = Some(link);
                }
                Some(Some(_)) => return Err(format!("rank {rank} came twice")),
                None => return Err(format!("rank {rank} is not one of {size}")),
            }
        }
        Ok(Self { rank: 0, size, links: links.into_iter().flatten().collect() })
    }

    /// Another rank: goes to rank 0, and tries for a while if nobody is there yet.
    ///
    /// # Errors
    /// In a sentence, what went wrong.
    pub fn join(
        address: &str,
        rank: usize,
        size: usize,
        config: &RunConfig,
    ) -> Result<Self, String> {
        if rank == 0 || rank >= size {
            return Err(format!("rank {rank} is not one of 1 to {}", size.saturating_sub(1)));
        }
        let end = Instant::now() + RANK_JOIN_TIME_MAX;
        let mut link = loop {
            match TcpStream::connect(address) {
                Ok(link) => break link,
                Err(error) if Instant::now() >= end => {
                    return Err(format!("rank 0 at {address}: {error}"));
                }
                Err(_) => std::thread::sleep(JOIN_PAUSE),
            }
        };
        prepare(&link, RANK_TIME_MAX)?;
        let hello = Hello { rank, ranks: size, config: config.hash() };
        send(&mut link, &postcard::to_allocvec(&hello).map_err(worded)?)?;
        Ok(Self { rank, size, links: vec![link] })
    }

    /// Another rank: the tensors that rank 0 starts from.
    ///
    /// # Errors
    /// In a sentence, what went wrong.
    pub fn receive_start(&mut self) -> Result<Vec<(String, Tensor)>, String> {
        files::tensors_of(&receive(&mut self.links[0]).map_err(of_rank_0)?)
    }

    /// Another rank: the next iteration; none once the run is over.
    ///
    /// # Errors
    /// In a sentence, what went wrong.
    pub fn receive_batch(&mut self) -> Result<Option<SharedBatch>, String> {
        let bytes = receive(&mut self.links[0]).map_err(of_rank_0)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        postcard::from_bytes(&bytes).map(Some).map_err(worded)
    }

    fn send_all(&mut self, bytes: &[u8]) -> Result<(), String> {
        for (at, link) in self.links.iter_mut().enumerate() {
            send(link, bytes).map_err(|reason| format!("rank {} {reason}", at + 1))?;
        }
        Ok(())
    }
}

impl Reduce for TcpRanks {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn sum_gradients(&mut self, decoder: &Decoder) -> Result<(), String> {
        define_gradients(decoder);
        let _no_gradient = tch::no_grad_guard();
        let kind = if decoder.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        let gradients: Vec<Tensor> =
            decoder.parameters().iter().map(|parameter| parameter.tensor.grad()).collect();
        let flat: Vec<Tensor> =
            gradients.iter().map(|gradient| gradient.reshape([-1]).to_kind(kind)).collect();
        let mut sum = Tensor::cat(&flat, 0).to_device(tch::Device::Cpu);
        if self.rank == 0 {
            for (at, link) in self.links.iter_mut().enumerate() {
                let bytes = receive(link).map_err(|reason| format!("rank {} {reason}", at + 1))?;
                sum += from_bytes(&bytes, &sum)?;
            }
            self.send_all(&to_bytes(&sum))?;
        } else {
            send(&mut self.links[0], &to_bytes(&sum)).map_err(of_rank_0)?;
            sum = from_bytes(&receive(&mut self.links[0]).map_err(of_rank_0)?, &sum)?;
        }
        let mut start = 0;
        for mut gradient in gradients {
            let length = dim(gradient.numel());
            gradient.copy_(&sum.narrow(0, start, length).view_as(&gradient));
            start += length;
        }
        Ok(())
    }

    fn start(&mut self, tensors: &[(String, Tensor)]) -> Result<(), String> {
        let bytes = files::bytes_of(tensors).map_err(worded)?;
        self.send_all(&bytes)
    }

    fn share(&mut self, iteration: u64, groups: &[Group]) -> Result<(), String> {
        let batch = SharedBatch { iteration, groups: groups.to_vec() };
        let bytes = postcard::to_allocvec(&batch).map_err(worded)?;
        self.send_all(&bytes)
    }

    fn end(&mut self) -> Result<(), String> {
        self.send_all(&[])
    }
}

/// A rank without sequences in a step has no gradients yet: they are zeros.
fn define_gradients(decoder: &Decoder) {
    let undefined = decoder.parameters().iter().filter(|p| !p.tensor.grad().defined());
    let zeros: Vec<Tensor> =
        undefined.map(|parameter| (&parameter.tensor * 0.0).sum(Kind::Double)).collect();
    if !zeros.is_empty() {
        Tensor::stack(&zeros, 0).sum(None).backward();
    }
}

fn to_bytes(tensor: &Tensor) -> Vec<u8> {
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.contiguous().copy_data_u8(&mut bytes, tensor.numel());
    bytes
}

fn from_bytes(bytes: &[u8], like: &Tensor) -> Result<Tensor, String> {
    if bytes.len() != count(dim(like.numel())) * like.kind().elt_size_in_bytes() {
        return Err(format!("{} bytes of gradients: another model", bytes.len()));
    }
    Ok(Tensor::from_data_size(bytes, &like.size(), like.kind()))
}

fn prepare(link: &TcpStream, silence: Duration) -> Result<(), String> {
    link.set_nodelay(true).map_err(worded)?;
    link.set_read_timeout(Some(silence)).map_err(worded)?;
    link.set_write_timeout(Some(silence)).map_err(worded)
}

fn send(link: &mut TcpStream, bytes: &[u8]) -> Result<(), String> {
    link.write_all(&(bytes.len() as u64).to_le_bytes()).map_err(lost)?;
    link.write_all(bytes).map_err(lost)
}

fn receive(link: &mut TcpStream) -> Result<Vec<u8>, String> {
    let mut length = [0; 8];
    link.read_exact(&mut length).map_err(lost)?;
    let length = usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > RANK_MESSAGE_BYTES_MAX {
        return Err(format!("a message of {length} bytes"));
    }
    let mut bytes = vec![0; length];
    link.read_exact(&mut bytes).map_err(lost)?;
    Ok(bytes)
}

/// How another rank was lost.
fn lost(error: std::io::Error) -> String {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, TimedOut, UnexpectedEof, WouldBlock};
    let kind = error.kind();
    if matches!(kind, WouldBlock | TimedOut) {
        "is silent for too long".to_owned()
    } else if matches!(kind, BrokenPipe | ConnectionReset | UnexpectedEof) {
        "is gone".to_owned()
    } else {
        error.to_string()
    }
}

fn of_rank_0(reason: String) -> String {
    format!("rank 0 {reason}")
}

fn worded(error: impl std::fmt::Display) -> String {
    error.to_string()
}
