#!/usr/bin/env bash
# `events` on real servers: every key must agree after a crash half way, on Ceph's RADOS gateway, on HDFS through WebHDFS (also with one of three
# DataNodes killed half way), on JuiceFS through WebDAV and on a local folder; JuiceFS's S3 door must be refused.
#
# The servers run already; their addresses come in the variables that `.ci/servers/run` sets:
#     .ci/servers/run benches/scripts/events-real-servers.sh
# A server whose variable is not set is left out, loudly; REQUIRE_ALL=1 makes that a failure.
# Other variables: BIN (the program; built when not set), ROWS (events from the start of the built-in file; default all).
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d "${TMPDIR:-/var/tmp}/aquifer-real-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
if [[ -z ${BIN:-} ]]; then
    cargo build --release --package aquifer-bench --locked
    BIN=target/release/aquifer-bench
fi
input=()
if [[ -n ${ROWS:-} ]]; then
    command -v zstd >/dev/null || { echo "ROWS needs zstd: apt-get install zstd" >&2; exit 1; }
    # `head` ends early, and zstd minds.
    zstd -dcq benches/data/flights-2013.csv.zst 2>/dev/null | head -n "$((ROWS + 1))" >"$work/events.csv" || true
    input=(--input "$work/events.csv")
fi
unique=run-$(date +%s)-$$
failures=0 left_out=0
say() { printf '\n== %s\n' "$*"; }
failed() { printf 'FAILED: %s\n' "$*" >&2; failures=$((failures + 1)); }

# usage: wanted VARIABLE WHAT: whether the server is there.
wanted() {
    [[ -n ${!1:-} ]] && return 0
    printf '\n== LEFT OUT: %s: %s is not set\n' "$2" "$1" >&2
    left_out=$((left_out + 1))
    return 1
}

# usage: agrees NAME URL [FLAGS...]: runs events to its end; the report must count no mismatch, and some keys.
agrees() {
    local name=$1 url=$2
    shift 2
    say "$name: $url"
    if timeout 600 "$BIN" events "${input[@]}" --store "$url" --json "$work/$name.json" "$@" 2>&1 | tee "$work/$name.log" \
        && grep -q ' keys compared with an independent fold of the input: 0 mismatches' "$work/$name.log"; then
        return 0
    fi
    failed "$name"
}

# usage: refuses NAME URL TEXT...: events must end with 3 and say all of this, within ten seconds.
refuses() {
    local name=$1 url=$2 code=0 text
    shift 2
    say "$name: $url"
    timeout 10 "$BIN" events "${input[@]}" --store "$url" 2>&1 | tee "$work/$name.log" || code=${PIPESTATUS[0]}
    [[ $code == 3 ]] || failed "$name: exit code $code and not 3"
    for text; do grep -qF -- "$text" "$work/$name.log" || failed "$name: it does not say \"$text\""; done
}

# usage: with_s3 ENDPOINT COMMAND...: with the variables of an S3 server.
with_s3() {
    local endpoint=$1
    shift
    AWS_ENDPOINT=$endpoint AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=${S3_ACCESS_KEY:-admin} AWS_SECRET_ACCESS_KEY=${S3_SECRET_KEY:-12345678} "$@"
}

# usage: kill_datanode LOG PID_FILE: waits until a run is past its crash, then ends a DataNode for good.
kill_datanode() {
    local log=$1 pid_file=$2
    for _ in $(seq 1200); do
        if grep -q '^crash' "$log" 2>/dev/null; then
            kill -9 "$(<"$pid_file")" && printf 'killed the DataNode of %s\n' "$pid_file" >>"$work/killed"
            return
        fi
        sleep 0.1
    done
}

agrees folder "file://$work/store"

if wanted AQUIFER_TEST_CEPH "Ceph's RADOS gateway"; then
    with_s3 "$AQUIFER_TEST_CEPH" agrees ceph "s3://${S3_BUCKET:-aquifer}/$unique"
fi

if wanted AQUIFER_TEST_JUICEFS_S3 "JuiceFS's S3 door"; then
    # It answers 200 to a put-if-absent and overwrites: two writers would destroy each other's state.
    with_s3 "$AQUIFER_TEST_JUICEFS_S3" refuses juicefs-s3 "s3://${S3_BUCKET:-aquifer}/$unique-refused" \
        "store is not safe for writing" "If-None-Match" "check --read-only"
    with_s3 "$AQUIFER_TEST_JUICEFS_S3" "$BIN" check --read-only --store "s3://${S3_BUCKET:-aquifer}/$unique-refused" \
        || failed "juicefs-s3: reading what may not be written"
fi

if wanted AQUIFER_TEST_JUICEFS_WEBDAV "JuiceFS through WebDAV"; then
    agrees juicefs-webdav "${AQUIFER_TEST_JUICEFS_WEBDAV%/}/$unique"
fi

if wanted AQUIFER_TEST_HDFS "HDFS through WebHDFS"; then
    agrees hdfs "${AQUIFER_TEST_HDFS%/}/$unique"
    if wanted AQUIFER_TEST_HDFS_HOME "HDFS with one of three DataNodes killed half way"; then
        : >"$work/hdfs-killed.log"
        kill_datanode "$work/hdfs-killed.log" "$AQUIFER_TEST_HDFS_HOME/datanode1.pid" &
        killer=$!
        agrees hdfs-killed "${AQUIFER_TEST_HDFS%/}/$unique-killed"
        kill "$killer" 2>/dev/null || true
        wait "$killer" 2>/dev/null || true
        [[ -s $work/killed ]] && cat "$work/killed" || failed "hdfs-killed: no DataNode was killed"
    fi
fi

say "$failures failed, $left_out left out"
if [[ $left_out != 0 && ${REQUIRE_ALL:-0} == 1 ]]; then
    echo "FAILED: REQUIRE_ALL=1, and servers were left out" >&2
    exit 1
fi
[[ $failures == 0 ]]
