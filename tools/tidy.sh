#!/usr/bin/env bash
# clang-tidy (.clang-tidy) over src/, JOBS files at a time, with the flags of the clang build.
#
#   tools/tidy.sh [FILE…]      default: every file of src
set -euo pipefail
cd "$(dirname "$0")/.."
command -v clang-tidy-14 >/dev/null || { echo "tidy: no clang-tidy-14: tools/setup.sh lint" >&2; exit 1; }
cmake --preset asan >/dev/null # compile_commands.json, with new files in it

files=("$@")
[ ${#files[@]} -gt 0 ] || mapfile -t files < <(find src -name '*.c' | sort)
[ ${#files[@]} -gt 0 ] || { echo "tidy: no C file in src" >&2; exit 1; }
tidy() { # The count of suppressed warnings in system headers is no news.
    # The analyser in its shallow mode: deep, it takes fifty times as long and reports paths that cannot be.
    clang-tidy-14 --quiet -p build/asan --extra-arg=-Xclang --extra-arg=-analyzer-config --extra-arg=-Xclang \
        --extra-arg=mode=shallow "$1" 2> >(grep -Ev '^[0-9]+ warnings?.* generated|^Suppressed|^Use -' >&2)
}
export -f tidy
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "${JOBS:-$(nproc)}" bash -c 'tidy "$1"' tidy
echo "tidy: ${#files[@]} files"
