#!/usr/bin/env bash
# Runs everything that must pass before a change lands, and sums up: seconds per stage, tests passed and failed.
#
#   tools/test.sh              all stages, in order
#   tools/test.sh STAGE…       only these (what they need is built first)
#   tools/test.sh --list       the stages
#
# A stage that fails does not hide the others, except that nothing is tested that could not be built. Output is also in
# build/test/STAGE.log.
set -euo pipefail
cd "$(dirname "$0")/.."

JOBS=${JOBS:-$(nproc)}
FUZZ_SMOKE_SECONDS=${FUZZ_SMOKE_SECONDS:-5}
LOGS=build/test
PYTHON=/usr/bin/python3 # Debian's, which has Debian's pytest

build() { # PRESET [cmake arguments]
    cmake --preset "$1" >"$LOGS/configure-$1.log" || { cat "$LOGS/configure-$1.log"; return 1; }
    cmake --build --preset "$1" --parallel "$JOBS" -- --quiet -k 0
}

# The sanitizers of clang 14 cannot place their shadow memory under kernels that randomise addresses by more than 28
# bits; where the kernel lets us, the randomisation is off for them.
fixed_addresses() {
    if setarch "$(uname -m)" -R true 2>/dev/null; then
        setarch "$(uname -m)" -R "$@"
    else
        "$@"
    fi
}

# The stages. Names are what people type; each is a function stage_NAME.
STAGES=(setup checks grammars release binary asan unit corpus optimised threads fuzz scenario tidy)

about() {
    case $1 in
        setup) echo "the Debian packages, the grammars and what tests compare with are there" ;;
        checks) echo "layers, headers alone, banned functions, text, clang-format; each checker checks itself first" ;;
        grammars) echo "the grammars of codebase_query are built" ;;
        release) echo "build with gcc -O2, warnings are errors" ;;
        binary) echo "what the shipped program links, exports and calls" ;;
        asan) echo "build with clang, Address- and UndefinedBehaviorSanitizer, warnings are errors" ;;
        unit) echo "unit, simulation and crash tests, sanitized" ;;
        corpus) echo "replay of every fuzz corpus, sanitized" ;;
        optimised) echo "the same tests as they are shipped, optimised" ;;
        threads) echo "tests that start threads, under ThreadSanitizer" ;;
        fuzz) echo "every fuzz target for $FUZZ_SMOKE_SECONDS s of new inputs" ;;
        scenario) echo "the real programs against a made-up model provider" ;;
        tidy) echo "clang-tidy on src" ;;
    esac
}

stage_setup() {
    tools/setup.sh build test lint grammars
    tools/grammars.sh
    tools/npm.sh
}
stage_checks() {
    local failed=0 check
    for check in "check_layers.py --self-test" "check_banned.py --self-test" "check_text.py --self-test" \
        check_layers.py check_banned.py check_text.py check_headers.sh check_format.sh; do
        # shellcheck disable=SC2086 # a name and its option
        tools/$check || { echo "tools/$check: failed"; failed=1; }
    done
    return $failed
}
stage_grammars() { tools/grammars.sh; }
stage_release() { build release; }
stage_binary() {
    tools/check_binary.py build/release
    tools/check_unused.py build/release
    tools/check_layers.py --objects build/release
}
stage_asan() { build asan; }
stage_unit() { fixed_addresses ctest --preset asan --parallel "$JOBS" --label-exclude corpus; }
stage_corpus() { fixed_addresses ctest --preset asan --parallel "$JOBS" --label-regex corpus; }
stage_optimised() { ctest --preset release --parallel "$JOBS" --label-exclude corpus; }
stage_threads() {
    build tsan
    fixed_addresses ctest --preset tsan # alone, one at a time: ThreadSanitizer needs the cores
}
stage_fuzz() { FUZZ_SECONDS=$FUZZ_SMOKE_SECONDS fixed_addresses tools/fuzz.sh; }
stage_scenario() {
    local paths=(tests/scenario)
    [ ! -d python/tests ] || paths+=(python/tests)
    TREADLE_BUILD=$PWD/build/release timeout --kill-after=10 1200 "$PYTHON" -m pytest -n "$JOBS" "${paths[@]}"
}
stage_tidy() { tools/tidy.sh; }

case "${1:-}" in
    --help | -h) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --list) for s in "${STAGES[@]}"; do printf '%-10s %s\n' "$s" "$(about "$s")"; done; exit 0 ;;
esac
wanted=("$@")
[ ${#wanted[@]} -gt 0 ] || wanted=("${STAGES[@]}")
for s in "${wanted[@]}"; do
    [[ " ${STAGES[*]} " == *" $s "* ]] || { echo "test: no stage '$s'; see tools/test.sh --list" >&2; exit 2; }
done
# What a stage asked for by name needs.
needs() {
    case $1 in
        binary | optimised | scenario) echo release ;;
        unit | corpus) echo asan ;;
    esac
}
order=()
for s in "${STAGES[@]}"; do
    for w in "${wanted[@]}"; do
        if [ "$s" = "$w" ] || [ "$s" = "$(needs "$w")" ]; then
            order+=("$s")
            break
        fi
    done
done

mkdir -p "$LOGS"
passed=0 failed=0 skipped=0
verdicts=()
built=" "
broken=0

count_tests() { # LOG: adds the test runners' closing lines to the sums
    local line n
    while read -r line; do
        if [[ $line =~ ([0-9]+)\ tests\ failed\ out\ of\ ([0-9]+) ]]; then
            failed=$((failed + BASH_REMATCH[1]))
            passed=$((passed + BASH_REMATCH[2] - BASH_REMATCH[1]))
        elif [[ $line =~ self-test:\ ([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
            passed=$((passed + BASH_REMATCH[1]))
            failed=$((failed + BASH_REMATCH[2]))
        elif [[ $line =~ ^=+.*\ in\ [0-9.]+s ]]; then
            [[ $line =~ ([0-9]+)\ passed ]] && passed=$((passed + BASH_REMATCH[1]))
            [[ $line =~ ([0-9]+)\ failed ]] && failed=$((failed + BASH_REMATCH[1]))
            [[ $line =~ ([0-9]+)\ error ]] && failed=$((failed + BASH_REMATCH[1]))
            [[ $line =~ ([0-9]+)\ skipped ]] && skipped=$((skipped + BASH_REMATCH[1]))
        fi
    done <"$1"
    return 0
}

start=$SECONDS
for s in "${order[@]}"; do
    need=$(needs "$s")
    if [ -n "$need" ] && [[ $built != *" $need "* ]]; then
        verdicts+=("$(printf '%-10s %5s    FAILED: needs %s' "$s" - "$need")")
        broken=1
        continue
    fi
    printf '\n== %s: %s\n' "$s" "$(about "$s")"
    began=$SECONDS
    # Not in an `if`: there `set -e` would not hold inside the stage.
    set +e
    (set -euo pipefail; "stage_$s") 2>&1 | tee "$LOGS/$s.log"
    rc=${PIPESTATUS[0]}
    set -e
    count_tests "$LOGS/$s.log"
    if [ "$rc" = 0 ]; then
        built+="$s "
        verdicts+=("$(printf '%-10s %5d s  ok' "$s" $((SECONDS - began)))")
    else
        broken=1
        verdicts+=("$(printf '%-10s %5d s  FAILED (exit %d)' "$s" $((SECONDS - began)) "$rc")")
        [ "$s" != setup ] || break
    fi
done

printf '\n== summary\n'
printf '%s\n' "${verdicts[@]}"
printf '%-10s %5d s  %d of %d stages\n' total $((SECONDS - start)) ${#verdicts[@]} ${#STAGES[@]}
# A stage may fail without a failed test (a build, a check): it still counts.
if [ $broken = 1 ] && [ $failed = 0 ]; then
    failed=1
fi
if [ $skipped -gt 0 ]; then
    printf '%d passed, %d failed, %d skipped\n' $passed $failed $skipped
else
    printf '%d passed, %d failed\n' $passed $failed
fi
exit $broken
