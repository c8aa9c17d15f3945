#!/usr/bin/env bash
# A workflow as a service, with nothing but curl: start it, kill the service, answer, read the result.
#
#   run.sh             answers are made up: no key, no cost. With --live real models answer (ANTHROPIC_API_KEY)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
treadle=${TREADLE:-$here/../../build/release/treadle}
mock=--mock
[ "${1:-}" != --live ] || mock=

TREADLE_HOME=$(mktemp -d "${TMPDIR:-/tmp}/treadle-service.XXXXXX")
export TREADLE_HOME
mkdir "$TREADLE_HOME/workflows"
cp "$here/poem.yaml" "$TREADLE_HOME/workflows/"
socket=$TREADLE_HOME/http.sock

serve() { # ready as soon as /readyz says so
    "$treadle" serve --listen "unix:$socket" ${mock:+"$mock"} 2>>"$TREADLE_HOME/log" &
    service=$!
    until get /readyz >/dev/null 2>&1; do
        kill -0 "$service" || { cat "$TREADLE_HOME/log" >&2; exit 1; }
        sleep 0.05
    done
}
get() { curl -sf --unix-socket "$socket" "http://localhost$1"; echo; }
post() { curl -sf --unix-socket "$socket" "http://localhost$1" -H 'Content-Type: application/json' -d "$2"; echo; }
trap 'kill "$service" 2>/dev/null; wait "$service" 2>/dev/null || true; rm -rf "$TREADLE_HOME"' EXIT

serve
echo "A start with an idempotency key. Sent twice it is still one run:"
post /run_pipeline '{"workflow": "poem", "inputs": {"topic": "snow"}, "idempotency_key": "poem-1"}'
run=$(post /run_pipeline '{"workflow": "poem", "inputs": {"topic": "snow"}, "idempotency_key": "poem-1"}')
echo "$run"
run=$(sed 's/.*"run_id": *"\([^"]*\)".*/\1/' <<<"$run")

echo "kill -9 of the whole service, and a new one:"
kill -9 "$service"
wait "$service" 2>/dev/null || true
serve
get "/v1/runs/$run"

echo "The answer that it waits for, and the result:"
post "/v1/runs/$run/approve" '{"step": "ask", "choice": "approve", "by": "curl"}'
while get "/v1/runs/$run" | grep -Eq '"status": *"(queued|running)"'; do sleep 0.05; done
get "/v1/runs/$run"
