#!/bin/sh
# Builds the RocksDB that the `rocksdb` crate bundles as a few large translation units: about 7 CPU minutes instead of 35.
# The sources, their order and their flags are the crate's own; only -O2 (3 % from -O3) and -march=native are chosen here.
# Needs g++ (or CXX), binutils, liburing-dev; about 2.2 GB of memory for each of the two compilers.
# Usage: benches/scripts/rocksdb-unity.sh OUT [CHUNKS]
#   then ROCKSDB_LIB_DIR=OUT ROCKSDB_STATIC=1 RUSTFLAGS=-Ctarget-cpu=native cargo run --release --features rocksdb -- compare …
set -eu
[ $# -ge 1 ] || { echo "usage: $0 OUT [CHUNKS]: OUT is the folder for librocksdb.a" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
chunks=${2:-8}
compiler=${CXX:-g++}
jobs=${JOBS:-2}
cd "$(dirname "$0")/../.."
cargo fetch --locked

# The folder of the package $1 (a name of Cargo.lock) in cargo's own registry.
folder_of() {
    version=$(sed -n "/^name = \"$1\"\$/{n;s/^version = \"\\(.*\\)\"\$/\\1/p;}" Cargo.lock)
    ls -d "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$1-$version" | head -n 1
}
rocksdb=$(folder_of librocksdb-sys)
zstd=$(folder_of zstd-sys)/zstd/lib
lz4=$(folder_of lz4-sys)/liblz4/lib
for path in "$rocksdb/rocksdb_lib_sources.txt" "$rocksdb/build_version.cc" "$zstd/zstd.h" "$lz4/lz4.h"; do
    [ -e "$path" ] || { echo "$path is missing: is the crate another version than this script knows?" >&2; exit 1; }
done
uring=$("$compiler" -print-file-name=liburing.a)
[ -e "$uring" ] || { echo "liburing.a is missing: install liburing-dev" >&2; exit 1; }

flags="-I$zstd -I$lz4 -I$rocksdb/rocksdb/include -I$rocksdb/rocksdb -I$rocksdb
    -DNDEBUG -DLZ4=1 -DZSTD=1 -DHAVE_ALIGNED_NEW -DHAVE_UINT128_EXTENSION -DOS_LINUX -DROCKSDB_PLATFORM_POSIX
    -DROCKSDB_LIB_IO_POSIX -DROCKSDB_SCHED_GETCPU_PRESENT -DROCKSDB_AUXV_GETAUXVAL_PRESENT -DROCKSDB_FALLOCATE_PRESENT
    -DROCKSDB_RANGESYNC_PRESENT -DROCKSDB_IOURING_PRESENT=1 -std=c++20 -include cstdint -march=native -O2 -w -fPIC
    -ffunction-sections -fdata-sections"
rm -f "$out"/unity-*
sed 's/^ *//;/^$/d;/util\/build_version.cc/d' "$rocksdb/rocksdb_lib_sources.txt" > "$out/unity-sources"
awk -v chunks="$chunks" -v lines="$(wc -l < "$out/unity-sources")" -v out="$out" '{
    print "#include \"rocksdb/" $0 "\"" > (out "/unity-" int((NR - 1) * chunks / lines) ".cc")
}' "$out/unity-sources"
cp "$rocksdb/build_version.cc" "$out/unity-version.cc"
# shellcheck disable=SC2016
ls "$out"/unity-*.cc | FLAGS="$flags" COMPILER="$compiler" xargs -P "$jobs" -I{} sh -c '$COMPILER $FLAGS -c {} -o {}.o && echo "built {}"'
# liburing goes into the same archive: nothing more to say to the linker.
mkdir "$out/unity-uring"
(cd "$out/unity-uring" && ar x "$uring" && for file in *; do mv "$file" "uring-$file"; done)
rm -f "$out/librocksdb.a"
ar crs "$out/librocksdb.a" "$out"/unity-*.o "$out"/unity-uring/*
rm -rf "$out"/unity-*
ls -l "$out/librocksdb.a"
