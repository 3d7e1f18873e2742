#!/usr/bin/env bash
# Drives the real binary with the official OpenAI SDKs. Usage: run.sh BINARY SCRIPTED_UPSTREAM [python|node]
set -euo pipefail

if [ $# -lt 2 ] || [ $# -gt 3 ]; then
  echo "usage: $0 BINARY SCRIPTED_UPSTREAM [python|node]" >&2
  exit 2
fi
steelyard=$(realpath "$1")
scripted=$(realpath "$2")
only=${3:-all}
cd "$(dirname "$0")"

home=$(mktemp -d)
children=()

stop() {
  for child in "${children[@]}"; do
    kill -9 "$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
  done
  children=()
}
finish() {
  status=$?
  stop
  if [ $status -ne 0 ]; then
    for log in "$home"/*.log; do
      echo "--- $log, last lines"
      tail -n 60 "$log"
    done
  fi
  rm -rf "$home"
  exit $status
}
trap finish EXIT

# Waits until a file has a line that matches, and prints what stands behind the match.
await() {
  for _ in $(seq 300); do
    if line=$(grep -m 1 -o "$2.*" "$1" 2>/dev/null); then
      echo "${line#"$2"}"
      return
    fi
    sleep 0.1
  done
  echo "$1 never said: $2" >&2
  return 1
}

# Every suite has a server and a vendor of its own, so that one suite's faults do not open the other's circuits.
start() {
  local name=$1 data="$home/$1"
  "$scripted" >"$home/$name-vendor.log" 2>&1 &
  children+=($!)
  SCRIPTED_URL=$(await "$home/$name-vendor.log" "listening on ")
  {
    printf '[[channels]]\nname = "scripted"\nprovider = "compatible"\nbase_url = "%s"\napi_key = "vendor-key"\n' "$SCRIPTED_URL"
    # Faults are not tried again, so that each call is one request upstream.
    for fault in 400 401 403 404 408 409 422 429 500 503 529 stream-error stream-cut hang; do
      printf '[[routes]]\nname = "fault-%s"\nretries = 0\ntargets = [{ channel = "scripted", model = "fault-%s" }]\n' $fault $fault
    done
  } >"$home/$name.toml"
  env -i PATH="$PATH" HOME="$home" "$steelyard" serve --listen 127.0.0.1:0 --config "$home/$name.toml" --data-dir "$data" \
    >"$home/$name-steelyard.log" 2>&1 &
  children+=($!)
  STEELYARD_URL=http://$(await "$data/listen.addr" "")
  STEELYARD_ADMIN_KEY=$(await "$data/admin.key" "")
  SCRIPTED_URL=${SCRIPTED_URL%/v1}
  export SCRIPTED_URL STEELYARD_URL STEELYARD_ADMIN_KEY
  # The SDKs' own ways of being told, so that the tests need no wiring.
  export OPENAI_BASE_URL="$STEELYARD_URL/v1" OPENAI_API_KEY
  OPENAI_API_KEY=$(env -i PATH="$PATH" STEELYARD_URL="$STEELYARD_URL" STEELYARD_API_KEY="$STEELYARD_ADMIN_KEY" \
    "$steelyard" keys create sdk --output json | python3 -c 'import json, sys; print(json.load(sys.stdin)["secret"])')
}

# The machine's proxies are not meant for 127.0.0.1.
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
unset OPENAI_ORG_ID OPENAI_PROJECT_ID

if [ "$only" = all ] || [ "$only" = python ]; then
  if ! cmp -s python/requirements.txt .venv/requirements.txt; then
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check -r python/requirements.txt
    cp python/requirements.txt .venv/
  fi
  start python
  .venv/bin/python -m pytest -p no:cacheprovider -q --color=no python
  stop
fi

if [ "$only" = all ] || [ "$only" = node ]; then
  if ! cmp -s node/package-lock.json node/node_modules/.installed-lock.json; then
    (cd node && npm ci --silent --no-audit --no-fund)
    cp node/package-lock.json node/node_modules/.installed-lock.json
  fi
  start node
  (cd node && node --test --test-concurrency=1 --test-reporter=tap tests/*.test.js) >"$home/node.tap" && passed=yes || passed=no
  grep -E '^(not ok|ok|    not ok)' "$home/node.tap" || true
  grep -E '^# (tests|pass|fail|cancelled|skipped|todo) ' "$home/node.tap"
  if [ $passed = no ]; then
    cat "$home/node.tap"
    exit 1
  fi
  for count in skipped todo cancelled; do
    grep -qx "# $count 0" "$home/node.tap" || { echo "some tests were $count" >&2; exit 1; }
  done
  stop
fi
echo "the official SDKs work"
