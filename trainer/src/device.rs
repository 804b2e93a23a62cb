//! CPU or GPU. The binary is linked with the CPU half of LibTorch; where a GPU is asked for, the
//! CUDA half is opened at run time, before LibTorch is used for the first time.
#![expect(unsafe_code, reason = "opening a shared library runs its initializers")]

use std::path::{Path, PathBuf};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use tch::Device;

const CUDA_LIBRARY: &str = "libtorch_cuda.so";

/// Reads `cpu` or `cuda:N`, and opens what a GPU needs.
///
/// # Errors
/// In a sentence, what is missing.
pub fn open(name: &str) -> Result<Device, String> {
    if name == "cpu" {
        return Ok(Device::Cpu);
    }
    let number = name.strip_prefix("cuda:").and_then(|number| number.parse().ok());
    let number: usize = number.ok_or_else(|| format!("{name} is neither cpu nor cuda:N"))?;
    open_library(&candidates())?;
    let found = usize::try_from(tch::Cuda::device_count()).unwrap_or(0);
    if number >= found {
        return Err(format!("{name} is not there: LibTorch sees {found} GPUs"));
    }
    Ok(Device::Cuda(number))
}

/// The folder that `TORCH_LIB` names, then wherever the loader looks.
fn candidates() -> Vec<PathBuf> {
    let named = std::env::var_os("TORCH_LIB").map(|folder| Path::new(&folder).join(CUDA_LIBRARY));
    named.into_iter().chain([PathBuf::from(CUDA_LIBRARY)]).collect()
}

fn open_library(candidates: &[PathBuf]) -> Result<(), String> {
    let mut reasons = Vec::new();
    for path in candidates {
        // SAFETY: the initializers of LibTorch's CUDA half register its operators and have no
        // conditions; no other thread has used LibTorch yet.
        match unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) } {
            Ok(library) => {
                // Never closed: its operators stay registered for the life of the process.
                std::mem::forget(library);
                return Ok(());
            }
            Err(error) => reasons.push(error.to_string()),
        }
    }
    Err(format!(
        "{CUDA_LIBRARY} cannot be opened ({}): set LD_LIBRARY_PATH or TORCH_LIB to the lib folder \
         of an installed torch 2.11.0",
        reasons.join("; ")
    ))
}
