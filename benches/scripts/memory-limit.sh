#!/bin/sh
# Memory stays within --memory-bytes plus 64 MiB, resident, for an input of 5 million keys that is far larger than the
# budget: makes the input (each key twice, in two orders), runs the program on it and looks at the peak.
# Usage: benches/scripts/memory-limit.sh [MEMORY_MIB] [KEYS]
set -eu
memory_mib=${1:-32}
keys=${2:-5000000}
cd "$(dirname "$0")/../.."
cargo build --release --package aquifer-bench
folder=$(mktemp -d /var/tmp/aquifer-memory-XXXXXX)
trap 'rm -rf "$folder"' EXIT INT TERM
awk -v keys="$keys" 'BEGIN {
    print "user,amount"
    for (i = 0; i < keys; i++) printf "user-%08d,%d\n", (i * 7919) % keys, i % 1000
    for (i = 0; i < keys; i++) printf "user-%08d,%d.25\n", (i * 104729) % keys, i % 1000
}' > "$folder/events.csv"
ls -l "$folder/events.csv"
target/release/aquifer-bench --input "$folder/events.csv" --key user --value amount --memory-bytes "${memory_mib}MiB" \
    --disk-bytes "${DISK_BYTES:-256MiB}" --checkpoint-every "${CHECKPOINT_EVERY:-1000000}" --json "$folder/report.json"
peak=$(sed -n 's/.*"peak_bytes": \([0-9]*\).*/\1/p' "$folder/report.json")
limit=$(((memory_mib + 64) * 1048576))
echo "peak $peak bytes, limit $limit bytes"
[ "$peak" -le "$limit" ]
