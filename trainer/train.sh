#!/usr/bin/env bash
# Runs the service and one training for each seed, each from its start, then draws the learning curves.
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

# Ready once it says so; it starts its slots first. That somebody listens there is not enough: it may be
# another program, because of which ours is gone.
ready() { grep -q "listens on" "$folder/service.log"; }
gone() { ! kill -0 "$service" 2> /dev/null; }
for _ in $(seq 600); do
	if ready || gone; then break; fi
	sleep 0.1
done
if gone || ! ready; then
	echo "the service of Assay has not come up at port $port:" >&2
	cat "$folder/service.log" >&2
	exit 1
fi

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
