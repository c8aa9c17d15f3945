#!/usr/bin/env bash
# Runs the benchmarks against build/release: programs made from bench/bench_*.c and scripts bench/bench_*.{sh,py}.
#
#   tools/bench.sh [NAME…]     default: all
#
# Each prints its own figures; TREADLE_BUILD says where the programs are.
set -euo pipefail
cd "$(dirname "$0")/.."
export TREADLE_BUILD=${TREADLE_BUILD:-$PWD/build/release}

names=("$@")
if [ ${#names[@]} = 0 ]; then
    for file in bench/bench_*; do
        [ -e "$file" ] || { echo "bench: nothing in bench/" >&2; exit 1; }
        name=$(basename "$file")
        names+=("${name%.*}")
    done
fi
echo "bench: $(nproc) cores, $(awk -F ': ' '/model name/ { print $2; exit }' /proc/cpuinfo), $(uname -sr)"
for name in "${names[@]}"; do
    printf '\n== %s\n' "$name"
    if [ -x "bench/$name.sh" ]; then
        "bench/$name.sh"
    elif [ -f "bench/$name.py" ]; then
        /usr/bin/python3 "bench/$name.py"
    elif [ -x "$TREADLE_BUILD/$name" ]; then
        "$TREADLE_BUILD/$name"
    else
        echo "bench: no bench/$name.sh, bench/$name.py or $TREADLE_BUILD/$name" >&2
        exit 1
    fi
done
