#!/bin/sh
# Builds the fuzz targets and presses each in turn: run.sh [TARGET...]
#   FUZZ_SECONDS=60   how long each is pressed
# What is found on the way is kept in corpus/, what makes a target fall in artifacts/: give that file to
# the target's program in target/ to see it fall again.
#
# The counters are those that `cargo fuzz` asks for, by options that a stable compiler has; so nothing
# needs to be installed. `--target` keeps them out of build scripts.
set -eu
cd "$(dirname "$0")"
host=$(rustc --print host-tuple)
targets=${*:-$(sed -n 's|^path = "targets/\(.*\)\.rs"$|\1|p' Cargo.toml)}
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
cargo build --release --locked --target "$host" --bins
mkdir -p artifacts
for name in $targets; do
    mkdir -p "corpus/$name"
    echo "== $name"
    "target/$host/release/$name" -max_total_time="${FUZZ_SECONDS:-60}" -timeout=10 -rss_limit_mb=2048 \
        -max_len=16384 -dict="dictionaries/$name" -artifact_prefix="artifacts/$name-" \
        -print_final_stats=1 -verbosity=0 "corpus/$name" "seeds/$name"
done
