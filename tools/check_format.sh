#!/usr/bin/env bash
# Every C file is as clang-format 14 would write it. `tools/check_format.sh --fix [FILE…]` rewrites instead.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v clang-format-14 >/dev/null || { echo "check_format: no clang-format-14: tools/setup.sh lint" >&2; exit 1; }

mode=(--dry-run -Werror --ferror-limit=1)
if [ "${1:-}" = --fix ]; then
    mode=(-i)
    shift
fi
files=("$@")
[ ${#files[@]} -gt 0 ] || mapfile -t files < <(find src tests tools bench -name '*.[ch]' \
    ! -path 'tests/scenario/code/*' 2>/dev/null | sort) # code that is looked at by a test, and must stay as it is
[ ${#files[@]} -gt 0 ] || { echo "check_format: no C file found" >&2; exit 1; }
if ! output=$(clang-format-14 --style=file "${mode[@]}" "${files[@]}" 2>&1); then
    grep -E '^[^ ]+:[0-9]+:[0-9]+: ' <<<"$output" | sed 's/: error: .*/: not as clang-format writes it/' ||
        echo "$output"
    echo "rewrite with: make format, or tools/check_format.sh --fix FILE" >&2
    exit 1
fi
