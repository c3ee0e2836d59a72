#!/bin/sh
# Builds the program with the engines that `compare` knows and runs their tests: the same answers on 10,000 random
# operations, and comparisons from end to end. Not part of CI: RocksDB alone takes longer to build than all of CI.
# Needs clang, libclang-dev, liburing-dev. With ROCKSDB_LIB_DIR and ROCKSDB_STATIC set (see rocksdb-unity.sh) RocksDB is not built again.
# Usage: benches/scripts/compare-tests.sh [FEATURES]
set -eu
features=${1:-rocksdb,slatedb,fjall}
cd "$(dirname "$0")/../.."
cargo test --locked --package aquifer-bench --features "$features" --test all compare
cargo test --locked --package aquifer-bench --features "$features" --bin aquifer-bench compare::
