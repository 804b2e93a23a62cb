#!/usr/bin/env bash
# Runs the service and one training for each seed, then draws the learning curves.
#
# usage: trainer/train.sh CONFIG FOLDER SEED...
set -euo pipefail

config=$1
folder=$2
shift 2
name=$(basename "$config" .toml)
port=${PORT:-8089}
mkdir -p "$folder"

target/release/assay serve --listen "127.0.0.1:$port" > "$folder/service.log" 2>&1 &
service=$!
trap 'kill "$service" 2>/dev/null || true; wait "$service" 2>/dev/null || true' EXIT

# Ready once it answers; it starts its slots first.
for _ in $(seq 300); do
	if (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; then break; fi
	kill -0 "$service" || { cat "$folder/service.log" >&2; exit 1; }
	sleep 0.1
done

runs=()
for seed in "$@"; do
	run="$folder/$name-seed-$seed"
	rm -rf "$run"
	echo "== $name, seed $seed: $run"
	target/release/assay-train run "$config" --out "$run" \
		--set "seed=$seed" --set "judge.url=http://127.0.0.1:$port"
	runs+=("$run")
done

target/release/assay-train plot "${runs[@]}" --out "$folder/$name.svg"
