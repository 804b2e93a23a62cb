#!/usr/bin/env bash
# A long run at twice of what the service sustains, five submissions in a hundred hostile, with the
# service killed in the middle and started again. Fails unless every verdict is right, nothing is lost
# and nothing of either service is left on the machine. As root; `COUNT=10000` for a shorter one.
set -euo pipefail
cd "$(dirname "$0")/.."
count=${COUNT:-100000} rate=${RATE:-2x} port=${PORT:-18099}
assay=${ASSAY:-target/release/assay} out=${OUT:-soak}
queue=${QUEUE:-512}
mkdir -p "$out"
work=$(mktemp -d)
url=http://127.0.0.1:$port

# A control group of its own, so that what is left is seen.
groups=$(find /sys/fs/cgroup -mindepth 1 -maxdepth 1 -type d)
[ -e /sys/fs/cgroup/cgroup.controllers ] && groups=/sys/fs/cgroup
for group in $groups; do mkdir -p "$group/assay-soak"; done

cat > "$work/assay.toml" <<TOML
listen = "127.0.0.1:$port"
cgroup_parent = "/assay-soak"
[admission]
queue_submissions_max = $queue
batch_submissions_max = $queue
# Full early in the run, so that what grows after is no cache.
[cache]
verdicts_bytes_max = 8388608
artifacts_bytes_max = 33554432
[log]
filter = "warn"
TOML
mkdir "$work/tmp"
start() {
	TMPDIR=$work/tmp "$assay" serve --config "$work/assay.toml" >> "$out/service.log" 2>&1 &
	service=$!
	until curl -sf "$url/readyz" > /dev/null; do kill -0 $service; sleep 0.05; done
}
judged() { # how many verdicts there are, or -1
	curl -sf "$url/v1/stats?recent=0&seconds=0" |
		python3 -c 'import json, sys; print(sum(json.load(sys.stdin)["verdicts"].values()))' || echo -1
}
trap 'kill -9 ${service:-} ${load:-} 2> /dev/null || true' EXIT

: > "$out/service.log"
start
"$assay" load "$url" --mix soak --rate "$rate" --count "$count" --in-flight-max 2048 \
	--out "$out/report.json" --html "$out/report.html" &
load=$!
until [ "$(judged)" -ge $((count / 2)) ]; do kill -0 $load; sleep 0.5; done
echo "killing the service after $(judged) verdicts"
kill -9 $service
wait $service 2> /dev/null || true
start
code=0
wait $load || code=$?
unset load
kill -TERM $service
wait $service || { echo "the service did not end well"; code=3; }
unset service

left=$(find "$work/tmp" -mindepth 1 | head)
for group in $groups; do
	left+=$(find "$group/assay-soak" -mindepth 1 -type d | head)
	rmdir "$group/assay-soak" 2> /dev/null || left+=" $group/assay-soak"
done
[ -z "$left" ] || { echo "left behind: $left"; code=3; }
rm -rf "$work"
[ $code = 0 ] && echo "soak: nothing wrong, nothing lost, nothing left; report in $out/"
exit $code
