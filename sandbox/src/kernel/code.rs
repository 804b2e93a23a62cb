//! Compiled code that was kept.
#![expect(unsafe_code, reason = "loading compiled code means to trust it")]

use wasmtime::{Engine, Module};

/// The module that was compiled to `code`. The caller has proven that a compiler of ours made it.
pub(crate) fn load_module(engine: &Engine, code: &[u8]) -> wasmtime::Result<Module> {
    // SAFETY: the bytes must come from `Module::serialize`. Those that get here carry the mark of the
    // pool's key over their digest, which only its workers make, over what that function gave them;
    // another version or configuration of the engine is refused by the call itself.
    unsafe { Module::deserialize(engine, code) }
}
