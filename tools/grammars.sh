#!/usr/bin/env bash
# Builds the grammars of codebase_query into build/lib/treadle, where build/*/treadle finds them.
#
#   tools/grammars.sh            builds what is missing or out of date; at once when nothing is
#   tools/grammars.sh --check    exit 1 when something is
#   tools/grammars.sh --list     library, package
#
# Their C sources come as npm packages: fetched by npm's own client (no script of theirs is run), checked against
# tools/grammars.lock, and only the parser is unpacked. They are compiled here, each into a shared object of its own.
# What is downloaded stays in build/grammars.
set -euo pipefail
cd "$(dirname "$0")/.."

LOCK=tools/grammars.lock
WORK=build/grammars
OUT=build/lib/treadle

say() { printf 'grammars: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
rows() { awk '!/^ *(#|$)/' "$LOCK"; }

built() { # LIBRARY SHA256 SOURCE: from this archive, by this script
    [ -f "$OUT/grammar-$1.so" ] && [ "$(cat "$WORK/$1.built" 2>/dev/null)" = "$2 $3" ]
}

missing() {
    local library package source sum
    while read -r library package source sum; do
        built "$library" "$sum" "$source" || echo "$library"
    done < <(rows)
}

fetch() { # PACKAGE@VERSION SHA256: prints the archive's path
    local file=${1//@/-}
    file=$WORK/${file//\//-}.tgz
    local try
    for try in 1 2 3; do
        if [ -f "$file" ] && [ "$(sha256sum <"$file" | cut -d' ' -f1)" = "$2" ]; then
            echo "$file"
            return
        fi
        rm -f "$file"
        [ "$try" = 1 ] || sleep 2
        (cd "$WORK" && npm pack --silent --ignore-scripts "$1" >/dev/null) || say "npm pack $1 failed (try $try)"
    done
    if [ -f "$file" ] && [ "$(sha256sum <"$file" | cut -d' ' -f1)" = "$2" ]; then
        echo "$file"
        return
    fi
    [ ! -f "$file" ] || die "$1 is not what $LOCK says: its sha256 is $(sha256sum <"$file" | cut -d' ' -f1)"
    die "$1 could not be fetched"
}

build() { # LIBRARY SOURCE-DIRECTORY
    local sources=("$2/parser.c")
    [ ! -f "$2/scanner.c" ] || sources+=("$2/scanner.c")
    "${CC:-gcc}" -O2 -fPIC -shared -std=gnu11 -w -Wl,-z,relro,-z,now -I"$2" -o "$OUT/.grammar-$1.so" "${sources[@]}"
    mv "$OUT/.grammar-$1.so" "$OUT/grammar-$1.so"
}

case "${1:-}" in
    --help | -h) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --list) rows | awk '{ print $1, $2 }'; exit 0 ;;
    --check) [ -z "$(missing)" ] || { say "not built: $(missing | tr '\n' ' ')"; exit 1; }; exit 0 ;;
    "") ;;
    *) die "unknown option $1; see --help" ;;
esac

[ -n "$(missing)" ] || exit 0
mkdir -p "$WORK" "$OUT"
exec 9>"$WORK/lock"
flock 9 # several test runs may want them at once
[ -n "$(missing)" ] || exit 0
tools/setup.sh build grammars

start=$SECONDS
wanted=" $(missing | tr '\n' ' ') "
say "building$wanted"
while read -r library package source sum; do
    [[ $wanted == *" $library "* ]] || continue
    archive=$(fetch "$package" "$sum")
    rm -rf "$WORK/$library"
    mkdir "$WORK/$library"
    tar -xzf "$archive" -C "$WORK/$library" --strip-components=1 --no-same-owner --wildcards 'package/*/*.[ch]'
    build "$library" "$WORK/$library/$source"
    echo "$sum $source" >"$WORK/$library.built"
    rm -rf "${WORK:?}/$library"
done < <(rows)
say "done in $((SECONDS - start)) s"
