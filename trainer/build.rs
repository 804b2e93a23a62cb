//! Checks that the LibTorch that is linked is the one that the binding was generated for, and lets
//! the binary find it at run time.

use std::path::{Path, PathBuf};

/// What tch 0.24 binds.
const LIBTORCH_VERSION: &str = "2.11.0";

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=build.rs");
    let root = PathBuf::from(std::env::var_os("LIBTORCH").unwrap_or_default());
    println!("cargo:rerun-if-changed={}", root.join("version.py").display());
    match version(&root) {
        Some(found) if found.split('+').next() == Some(LIBTORCH_VERSION) => {}
        Some(found) => panic!(
            "the trainer needs LibTorch {LIBTORCH_VERSION}, {} is {found}: run `make libtorch`",
            root.display()
        ),
        None => panic!(
            "no LibTorch {LIBTORCH_VERSION} in LIBTORCH={:?}: run `make libtorch` (see trainer/README.md)",
            root.display()
        ),
    }
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", root.join("lib").display());
}

/// `version.py` holds a line like `__version__ = '2.11.0+cu130'`.
fn version(root: &Path) -> Option<String> {
    let text = std::fs::read_to_string(root.join("version.py")).ok()?;
    let line = text.lines().find(|line| line.starts_with("__version__"))?;
    line.split(['\'', '"']).nth(1).map(str::to_owned)
}
