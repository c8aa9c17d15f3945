#!/usr/bin/env bash
# Repairs a copy of the broken project in project/ and shows what changed.
#
#   run.sh             scripted models answer (fixtures.yaml): no keys, no cost, no network
#   run.sh --live      real models: needs ANTHROPIC_API_KEY and GEMINI_API_KEY, costs some cents
#   run.sh --kill      the same, but kills treadle with -9 in the middle and resumes it
#   run.sh --dir DIR   work in DIR (default: a new directory under TMPDIR); it must not exist or be empty
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
treadle=${TREADLE:-$root/build/release/treadle}
mode=mock kill=no dir=

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n== %s\n' "$*"; }
die() { printf 'run.sh: %s\n' "$*" >&2; exit "${code:-2}"; }

while [ $# -gt 0 ]; do
    case $1 in
        --live) mode=live ;;
        --kill) kill=yes ;;
        --dir) dir=${2:?--dir needs a directory}; shift ;;
        --help | -h) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) die "unknown option $1; see run.sh --help" ;;
    esac
    shift
done

[ -x "$treadle" ] || code=4 die "$treadle is not built; run \`make\` first"
for tool in make cc diff python3; do
    command -v "$tool" >/dev/null || code=4 die "this example needs \`$tool\`, which is not installed"
done
if [ "$mode" = live ]; then
    missing=
    for key in ANTHROPIC_API_KEY GEMINI_API_KEY; do
        [ -n "${!key:-}" ] || missing="$missing $key"
    done
    [ -z "$missing" ] || code=4 die "--live asks real models, but these are not set:$missing;" \
        "without --live no key is needed"
fi

# The clone stays clean: the project, its builds, the report and the journal live in a directory of their own.
if [ -n "$dir" ]; then
    mkdir -p "$dir"
    [ -z "$(ls -A "$dir")" ] || die "$dir is not empty"
    dir=$(cd "$dir" && pwd)
else
    dir=$(mktemp -d "${TMPDIR:-/tmp}/treadle-repair.XXXXXX")
fi
cp -R "$here/project" "$dir/project"
rm -rf "$dir/project/build"
export TREADLE_HOME=$dir/state

# Treadle never confines less than it was told to. Many containers do not allow namespaces: there the demo asks for the
# strongest tier that the system has, and says so.
tiers=$("$treadle" doctor || true)
if [ -z "${TREADLE_SANDBOX:-}" ] && ! grep -q '^ok *sandbox strict ' <<<"$tiers"; then
    export TREADLE_SANDBOX=none
    ! grep -q '^ok *sandbox standard ' <<<"$tiers" || TREADLE_SANDBOX=standard
    say "This system does not allow the strict sandbox, so commands run with TREADLE_SANDBOX=$TREADLE_SANDBOX" \
        "(treadle doctor says why)."
fi
run=("$treadle" run "$here/repair.yaml" --run-id repair --workspace "$dir/project" --output-dir "$dir")
[ "$mode" = live ] || run+=(--mock "$here/fixtures.yaml")

# What the journal says about model calls: a call is an effect `…/turn:N`; kind 3 is its intent, kind 4 its result.
calls() {
    python3 - "$dir/state/runs/repair/journal.db" <<'PYTHON'
import sqlite3, sys
journal = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
turns = "path GLOB '*/turn:*' AND path NOT GLOB '*/tool:*'"
started = journal.execute(f"SELECT count(*) FROM record WHERE kind = 3 AND {turns}").fetchone()[0]
answers = journal.execute(f"SELECT count(DISTINCT path), count(*) FROM record WHERE kind = 4 AND {turns}").fetchone()
print(started, *answers)
PYTHON
}

say "A project whose tests fail ($dir/project):"
make -C "$dir/project" --no-print-directory test || true

if [ "$mode" = live ]; then
    say "Treadle runs repair.yaml with real models: Claude analyses, Gemini plans, Claude edits until the tests pass."
else
    say "Treadle runs repair.yaml; the models are scripted, everything else is real (--live asks real ones):"
fi

status=0
if [ "$kill" = no ]; then
    "${run[@]}" >"$dir/output" || status=$?
else
    # The second round has just asked its model: a good moment to pull the plug.
    moment='call +mend/1/edit/turn:1'
    [ "$mode" = mock ] || moment='call +mend/0/edit/turn:2'
    : >"$dir/progress"
    "${run[@]}" >"$dir/output" 2>"$dir/progress" &
    pid=$!
    trap 'command kill "$pid" 2>/dev/null' EXIT
    tail -n +1 -f -s 0.1 --pid="$pid" "$dir/progress" &
    shown=$!
    until grep -Eq "$moment" "$dir/progress"; do
        command kill -0 "$pid" 2>/dev/null || break
        sleep 0.02
    done
    command kill -9 "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || status=$?
    wait "$shown"
    trap - EXIT
    [ "$status" = 137 ] || code=$((status ? status : 1)) die "the run ended (exit $status) before it could be killed"

    say "kill -9. What the journal knows:"
    read -r started before _ <<<"$(calls)"
    echo "$started model calls were started, $before have been answered; $((started - before)) was on its way."

    say "treadle resume last: finished steps are not done again, recorded answers are not asked for again"
    status=0
    "$treadle" resume last >"$dir/output" || status=$?
    read -r all answered results <<<"$(calls)"
    say "Model calls, counted from the journal:"
    echo "$before answers before the kill, $((answered - before)) after it, $answered in all."
    echo "$all calls were started in the two lives: only what was on its way was asked again ($((all - answered)))."
    [ "$results" = "$answered" ] && [ $((all - answered)) -le $((started - before)) ] ||
        code=1 die "an answered call was asked again: $results results for $answered calls"
fi

if [ "$status" != 0 ]; then
    say "The run did not succeed (exit $status)."
    [ "$mode" = live ] || echo "The scripted models know this one broken project; --live asks real ones."
    exit "$status"
fi

say "What it changed:"
ln -s "$here/project" "$dir/a"
ln -s project "$dir/b"
(cd "$dir" && diff -ru --exclude=build a b | sed -e '/^diff /d' -e 's/^\(---\|+++\) \([^\t]*\)\t.*/\1 \2/') || true
rm "$dir/a" "$dir/b"
say "The tests now:"
make -C "$dir/project" --no-print-directory test
say "The report ($dir/report.md):"
cat "$dir/output"

cat <<EOT

Now pull the plug yourself. \`$0 --kill\` shows it; by hand:
  export TREADLE_HOME=$dir/state${TREADLE_SANDBOX:+ TREADLE_SANDBOX=$TREADLE_SANDBOX}
  cp -R $here/project $dir/again
  $treadle run $here/repair.yaml --mock $here/fixtures.yaml --workspace $dir/again --output-dir $dir &
  sleep 2.5; kill -9 \$!
  $treadle resume last
EOT
