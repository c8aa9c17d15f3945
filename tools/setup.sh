#!/usr/bin/env bash
# Installs the Debian packages that building, testing and linting need. Does nothing, at once, when all are there.
#
#   tools/setup.sh [GROUP…]            install what is missing (default: build)
#   tools/setup.sh --check [GROUP…]    only say what is missing; exit 1 when something is
#   tools/setup.sh --list [GROUP…]     print the package names
#
# Versions are pinned by the Debian release (12, bookworm): one release has one version of each. A group includes
# nothing but itself; name several.
set -euo pipefail

# group  packages
TABLE='
build    gcc libc6-dev make cmake ninja-build pkg-config ca-certificates python3
build    libuv1-dev libcurl4-openssl-dev libsqlite3-dev libyaml-dev libpcre2-dev libmd-dev node-llhttp libexpat1-dev
build    libtree-sitter-dev
test     clang-14 libclang-rt-14-dev llvm-14 libcmocka-dev git json-schema-test-suite procps strace tmux util-linux
test     curl man-db python3-pytest python3-pytest-xdist python3-yaml python3-jsonschema erlang-base
lint     clang-14 clang-format-14 clang-tidy-14
grammars npm
acceptance universal-ctags
'

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

mode=install
case "${1:-}" in
    --check) mode=check; shift ;;
    --list) mode=list; shift ;;
    --help | -h) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
groups=("$@")
[ ${#groups[@]} -gt 0 ] || groups=(build)

packages=()
for group in "${groups[@]}"; do
    mapfile -t found < <(awk -v g="$group" '$1 == g { for (i = 2; i <= NF; i++) print $i }' <<<"$TABLE")
    [ ${#found[@]} -gt 0 ] || die "no group '$group' (there are: build, test, lint, grammars, acceptance)"
    packages+=("${found[@]}")
done
mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)

if [ "$mode" = list ]; then
    printf '%s\n' "${packages[@]}"
    exit 0
fi

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    # Elsewhere the build itself says which library it lacks; only an installation cannot be done.
    [ "$mode" = check ] && exit 0
    die "this script knows Debian 12 only; install the equivalents of: ${packages[*]}"
fi

installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null || true)
missing=()
for package in "${packages[@]}"; do
    # Node.js often comes from elsewhere, with an npm of its own that Debian's would conflict with.
    [ "$package" != npm ] || ! command -v npm >/dev/null || continue
    grep -qx "installed $package" <<<"$installed" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$mode" = check ]; then
    say "missing packages: ${missing[*]}"
    say "install them with: tools/setup.sh ${groups[*]}"
    exit 1
fi

release=$(. /etc/os-release && echo "${ID:-unknown} ${VERSION_ID:-}")
[ "$release" = "debian 12" ] || say "this is $release, not Debian 12: versions may differ"

root=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "not root and no sudo; as root run: apt-get install ${missing[*]}"
    root=(sudo)
fi

log=$(mktemp "${TMPDIR:-/tmp}/treadle-setup.XXXXXX")
trap 'rm -f "$log"' EXIT
quietly() {
    if ! "${root[@]}" env DEBIAN_FRONTEND=noninteractive "$@" </dev/null >"$log" 2>&1; then
        tail -n 25 "$log" >&2
        die "failed: $*"
    fi
}
apt=(apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)

start=$SECONDS
say "installing ${#missing[@]} packages (${groups[*]}): ${missing[*]}"
quietly "${apt[@]}" update
quietly "${apt[@]}" install -y --no-install-recommends "${missing[@]}"
say "done in $((SECONDS - start)) s"
