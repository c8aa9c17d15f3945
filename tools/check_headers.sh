#!/usr/bin/env bash
# Every header of src/ compiles alone, as C, without warnings, with each compiler: it includes all that it needs.
set -euo pipefail
cd "$(dirname "$0")/.."

flags=(-std=gnu11 -D_GNU_SOURCE -Isrc -fsyntax-only -x c -Wall -Wextra -Wconversion -Wno-sign-conversion -Wshadow
    -Wstrict-prototypes -Wundef -Wvla -Werror)
read -ra system < <(pkg-config --cflags libuv libcurl sqlite3 yaml-0.1 libpcre2-8 libmd expat) || true
mapfile -t headers < <(find src -name '*.h' | sort)
[ ${#headers[@]} -gt 0 ] || { echo "check_headers: no header in src" >&2; exit 1; }

failed=0
for compiler in gcc clang-14; do
    command -v "$compiler" >/dev/null || { echo "check_headers: no $compiler: tools/setup.sh build test" >&2; exit 1; }
    for header in "${headers[@]}"; do
        # Through standard input: as a main file, "#pragma once" would itself be a warning.
        if ! "$compiler" "${flags[@]}" "${system[@]}" - <<<"#include \"${header#src/}\""; then
            echo "$header: does not compile alone with $compiler" >&2
            failed=1
        fi
    done
done
exit "$failed"
