#!/usr/bin/env bash
# Long campaigns, in slices: what takes hours can be interrupted at any time and goes on where it stopped.
#
#   tools/acceptance.sh [NAME…]          runs the unfinished slices of the campaigns (default: all)
#   tools/acceptance.sh --list           campaigns, and how many of their slices are finished
#   tools/acceptance.sh --again NAME SLICE SEED   repeats one slice, say one that failed; records nothing
#   tools/acceptance.sh --forget [NAME…] forgets what is finished
#
# Campaigns are lines of tests/crash/campaigns.txt. State is in build/acceptance: `done` has a line for each finished
# slice (name, slice, seed, seconds, what was tested), NAME.SLICE.log its output. A slice counts only for the sources it
# ran with: after a change of them it is to be run again. ACCEPTANCE_SEED fixes the seeds (default: fresh ones);
# ACCEPTANCE_SECONDS stops starting slices after that time (exit 3: unfinished).
set -euo pipefail
cd "$(dirname "$0")/.."

TABLE=tests/crash/campaigns.txt
STATE=build/acceptance
export BUILD=$PWD/build/release ASAN=$PWD/build/asan
mkdir -p "$STATE"
touch "$STATE/done"

die() { echo "acceptance: $*" >&2; exit 2; }
names() { awk '!/^ *(#|$)/ { print $1 }' "$TABLE"; }
slices() { awk -v n="$1" '$1 == n { print $2; exit }' "$TABLE"; }
command_of() { awk -v n="$1" '$1 == n { sub(/^[ \t]*[^ \t]+[ \t]+[^ \t]+[ \t]+/, ""); print; exit }' "$TABLE"; }
finished() { awk -v n="$1" -v s="$2" -v v="$VERSION" '$1 == n && $2 == s && $5 == v { found = 1 } END { exit !found }' \
    "$STATE/done"; }

# What is tested: one hash over every source that can change the outcome.
VERSION=$({ find src tests tools bench examples CMakeLists.txt CMakePresets.json -type f ! -name '*.pyc' -print0 \
    2>/dev/null || true; } | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-12)

seed_for() { # NAME SLICE
    local text=${ACCEPTANCE_SEED:-$(od -An -N8 -tx8 /dev/urandom)}
    printf '%d' $((0x$(printf '%s %s %s' "$text" "$1" "$2" | sha256sum | cut -c1-16) & 0x7fffffffffffffff))
}

run_slice() { # NAME SLICE SEED
    export SLICE=$2 SEED=$3 DIR=$PWD/$STATE/$1.$2.dir
    rm -rf "$DIR"
    mkdir -p "$DIR"
    local log=$STATE/$1.$2.log rc=0 start=$SECONDS
    printf 'acceptance: %-12s slice %d of %d, seed %s … ' "$1" "$2" "$(slices "$1")" "$3"
    bash -euo pipefail -c "$(command_of "$1")" </dev/null >"$log" 2>&1 || rc=$?
    if [ $rc != 0 ]; then
        echo "FAILED (exit $rc)"
        tail -n 40 "$log"
        echo "acceptance: log $log, files $DIR; again with: tools/acceptance.sh --again $1 $2 $3"
        return 1
    fi
    rm -rf "$DIR"
    echo "ok, $((SECONDS - start)) s: $(tail -n 1 "$log")"
    TOOK=$((SECONDS - start))
}

check_names() {
    local name
    for name in "$@"; do
        [ -n "$(slices "$name")" ] || die "no campaign '$name' in $TABLE (there are: $(names | tr '\n' ' '))"
    done
}
prepare() {
    tools/setup.sh build test
    local preset
    for preset in release asan; do
        cmake --preset $preset >"$STATE/configure.log" || { cat "$STATE/configure.log"; exit 1; }
        cmake --build --preset $preset --parallel "${JOBS:-$(nproc)}" -- --quiet
    done
}

case "${1:-}" in
    --help | -h)
        sed -n '2,14s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    --list)
        for name in $(names); do
            count=0
            for ((slice = 1; slice <= $(slices "$name"); slice++)); do
                finished "$name" "$slice" && count=$((count + 1))
            done
            printf '%-12s %3d of %3d  %s\n' "$name" "$count" "$(slices "$name")" "$(command_of "$name")"
        done
        exit 0
        ;;
    --again)
        [ $# = 4 ] || die "--again NAME SLICE SEED"
        check_names "$2"
        prepare
        run_slice "$2" "$3" "$4"
        exit
        ;;
    --forget)
        shift
        check_names "$@"
        if [ $# = 0 ]; then
            : >"$STATE/done"
        fi
        for name in "$@"; do
            sed -i "/^$name /d" "$STATE/done"
        done
        exit 0
        ;;
    -*) die "unknown option $1; see --help" ;;
esac

check_names "$@"
mapfile -t wanted < <(if [ $# -gt 0 ]; then printf '%s\n' "$@"; else names; fi)
exec 9>"$STATE/lock"
flock -n 9 || die "another one is running"
prepare
echo "acceptance: sources $VERSION"
passed=0 failed=0
for name in "${wanted[@]}"; do
    for ((slice = 1; slice <= $(slices "$name"); slice++)); do
        if finished "$name" "$slice"; then
            passed=$((passed + 1))
            continue
        fi
        if [ -n "${ACCEPTANCE_SECONDS:-}" ] && [ $SECONDS -ge "$ACCEPTANCE_SECONDS" ]; then
            echo "acceptance: $SECONDS s are over; $passed slices passed, $failed failed; the same command goes on"
            exit 3
        fi
        seed=$(seed_for "$name" "$slice")
        if run_slice "$name" "$slice" "$seed"; then
            passed=$((passed + 1))
            echo "$name $slice $seed $TOOK $VERSION" >>"$STATE/done"
        else
            failed=$((failed + 1))
        fi
    done
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
