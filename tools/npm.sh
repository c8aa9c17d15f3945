#!/bin/sh
# Installs what tests compare Treadle with (tests/npm/package.json, exact versions and hashes in its lock file) into
# build/npm. Needs npm and its registry; tests that want these packages are skipped, saying so, where they are missing.
set -eu
case "${1-}" in
-h | --help)
    sed -n '2,3s/^# //p' "$0"
    exit 0
    ;;
esac
cd "$(dirname "$0")/.."
command -v npm >/dev/null || { echo "npm.sh: npm is missing (Debian: apt-get install npm)" >&2; exit 3; }
mkdir -p build/npm
if cmp -s tests/npm/package-lock.json build/npm/package-lock.json && [ -d build/npm/node_modules ]; then
    exit 0
fi
rm -rf build/npm/node_modules
cp tests/npm/package.json tests/npm/package-lock.json build/npm/
npm ci --prefix build/npm --ignore-scripts --no-audit --no-fund --loglevel=error
