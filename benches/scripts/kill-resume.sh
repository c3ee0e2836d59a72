#!/bin/sh
# Kills the program at 20 moments of the full run (all real events) and resumes it: every final state must be the
# undisturbed one. Other moments: AQUIFER_KILL_SEED=7 benches/scripts/kill-resume.sh
set -eu
cd "$(dirname "$0")/../.."
AQUIFER_KILL_ROWS=all exec cargo test --release --package aquifer-bench --test all kill_resume:: -- --nocapture
