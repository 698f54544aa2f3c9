#!/usr/bin/env bash
# Fuzz the readers: run.sh [SECONDS [TARGET…]], all of them for 280 seconds together where nothing is said. Inputs that crash, hang or eat memory stay in artifacts/, and the exit
# code is 1. A stable toolchain and a C++ compiler are enough: what `cargo fuzz` would add is AddressSanitizer, and there is no unsafe code here.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-280}
targets=("${@:2}")
[ ${#targets[@]} -gt 0 ] || for file in fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
# The versions that are released.
cp ../../Cargo.lock .
host=$(rustc -vV | sed -n 's/^host: //p')
target=${CARGO_TARGET_DIR:-../../target}/fuzz
# With --target, build scripts and procedural macros are spared.
coverage="--cfg fuzzing -Cpasses=sancov-module"
for option in level=4 inline-8bit-counters pc-table trace-compares; do
  coverage+=" -Cllvm-args=-sanitizer-coverage-$option"
done
RUSTFLAGS="$coverage" cargo build --quiet --release --target "$host" --target-dir "$target" "${targets[@]/#/--bin=}"
TMPDIR=$(mktemp -d)
# In memory, where the system has a folder for that: a disk would have to take thousands of files a second.
INPUTS=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
# Pictures of parquet files go to disk, all but the smallest.
export TMPDIR INPUTS DATA_MEMORY=100
trap 'rm -rf "$TMPDIR" "$INPUTS"' EXIT
share=$((seconds / ${#targets[@]}))
failed=0
for name in "${targets[@]}"; do
  program=$target/$host/release/$name
  mkdir -p "artifacts/$name" "corpus/$name"
  log=$TMPDIR/$name.log
  if SEEDS=corpus/$name "$program" -max_total_time="$share" -rss_limit_mb=2048 -timeout=20 -print_final_stats=1 \
      -artifact_prefix="artifacts/$name/" "corpus/$name" 2>"$log"; then
    awk -v name="$name" '/cov:/ { covered = $4 } /executed_units/ { runs = $2 } /per_sec/ { rate = $2 } /peak_rss/ { rss = $2 }
      END { printf "%-17s %s runs, %s a second, %s edges, %s MiB at the peak\n", name, runs, rate, covered, rss }' "$log"
  else
    tail -n 30 "$log"
    found=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    echo "$name fails on datasets/fuzz/$found; again: (cd datasets/fuzz && $program $found)"
    failed=1
  fi
done
exit "$failed"
