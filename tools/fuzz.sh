#!/usr/bin/env bash
# Builds the fuzz targets and runs each for FUZZ_SECONDS (default 600), JOBS at a time.
#
#   FUZZ_SECONDS=60 tools/fuzz.sh [fuzz_json…]     default: all targets
#
# New inputs are kept in build/fuzz/corpus/TARGET and seed the next run; add the interesting ones to
# tests/fuzz/corpus/TARGET. An input that fails is left in build/fuzz/found/ and its path printed.
set -euo pipefail
cd "$(dirname "$0")/.."
export FUZZ_SECONDS=${FUZZ_SECONDS:-600}
JOBS=${JOBS:-$(nproc)}

mkdir -p build/fuzz/found build/fuzz/log
cmake --preset fuzz >build/fuzz/log/configure.log || { cat build/fuzz/log/configure.log; exit 1; }
cmake --build --preset fuzz --parallel "$JOBS" -- --quiet
targets=("$@")
if [ ${#targets[@]} = 0 ]; then
    for source in tests/fuzz/fuzz_*.c; do
        [ -e "$source" ] || { echo "fuzz: no target in tests/fuzz" >&2; exit 1; }
        targets+=("$(basename "$source" .c)")
    done
fi

one() {
    local name=$1 log=build/fuzz/log/$1.log
    local seeds=tests/fuzz/corpus/$name own=build/fuzz/corpus/$name options=()
    [ -d "$seeds" ] || { echo "fuzz: $name has no seeds in $seeds" >&2; return 1; }
    [ ! -f "tests/fuzz/dict/$name.dict" ] || options+=("-dict=tests/fuzz/dict/$name.dict")
    mkdir -p "$own"
    if ! UBSAN_OPTIONS=print_stacktrace=1 ASAN_SYMBOLIZER_PATH=/usr/bin/llvm-symbolizer-14 \
        "build/fuzz/$name" "${options[@]}" -max_total_time="$FUZZ_SECONDS" -max_len=65536 -timeout=10 \
        -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="build/fuzz/found/$name-" "$own" "$seeds" \
        >"$log" 2>&1; then
        echo "fuzz: $name FAILED:"
        tail -n 60 "$log"
        return 1
    fi
    awk -v name="$name" '
        /stat::number_of_executed_units/ { runs = $2 }
        / cov: / { for (i = 1; i < NF; i++) { if ($i == "cov:") cov = $(i + 1); if ($i == "corp:") corpus = $(i + 1) } }
        END { printf "fuzz: %-20s ok  %9d inputs, coverage %d, corpus %s\n", name, runs, cov, corpus }' "$log"
}
export -f one
printf '%s\n' "${targets[@]}" | xargs -P "$JOBS" -I{} bash -euo pipefail -c 'one {}'
