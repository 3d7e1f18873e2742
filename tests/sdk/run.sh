#!/usr/bin/env bash
# Drives the real binary with the official SDKs, on SQLite and on PostgreSQL.
# Usage: run.sh STEELYARD SCRIPTED_UPSTREAM TEST_DATABASE [python|node]
set -euo pipefail

if [ $# -lt 3 ] || [ $# -gt 4 ]; then
  echo "usage: $0 STEELYARD SCRIPTED_UPSTREAM TEST_DATABASE [python|node]" >&2
  exit 2
fi
steelyard=$(realpath "$1")
scripted=$(realpath "$2")
test_database=$(realpath "$3")
only=${4:-all}
cd "$(dirname "$0")"

wires="openai anthropic bedrock gemini"
# Each has offers of its own, so that the faults of one do not open the circuits of another.
clients="py-openai py-responses py-anthropic py-boto3 py-bedrock py-gemini js-openai js-responses js-anthropic js-aws"
faults="400 401 403 404 413 422 429 500 503 529 stream-error stream-cut hang"

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
  # The database goes when its maker's standard input ends.
  exec 9>&-
  [ -z "${maker:-}" ] || wait "$maker" || true
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

configuration() {
  printf '[server]\nmax_body = "2MiB"\n[server.tls]\nlisten = "127.0.0.1:0"\nself_signed = true\n'
  # Azure speaks OpenAI's wire, at addresses of its own.
  printf '[[channels]]\nname = "azure"\nprovider = "azure"\nbase_url = "%s"\n' "${SCRIPTED_OPENAI%/v1}"
  printf 'api_version = "2024-10-21"\napi_key = "vendor-key"\ndeployments = { any = "gpt-6-sol" }\n'
  # OpenAI's wires are two: this account is asked in the client's own, the others in Chat Completions alone.
  printf '[[channels]]\nname = "responses"\nprovider = "compatible"\nbase_url = "%s"\n' "$SCRIPTED_OPENAI"
  printf 'responses = true\napi_key = "vendor-key"\n'
  for wire in $wires; do
    local url=SCRIPTED_${wire^^}
    case $wire in
      openai) account='provider = "compatible"\napi_key = "vendor-key"' ;;
      anthropic) account='provider = "anthropic"\napi_key = "vendor-key"' ;;
      gemini) account='provider = "gemini"\napi_key = "vendor-key"' ;;
      bedrock)
        account='provider = "bedrock"\nregion = "us-east-1"\n'
        account+='credentials = { access_key_id = "AKIAVENDOR", secret_access_key = "vendor-secret" }'
        ;;
    esac
    for channel in $wire $(printf "$wire-%s " $clients); do
      printf '[[channels]]\nname = "%s"\nbase_url = "%s"\n%b\n' "$channel" "${!url}" "$account"
      # A name of the form that AWS's inference profiles have.
      [ "$channel" != bedrock ] || printf 'models = ["us.scripted-v1:0"]\n'
    done
    for client in $clients; do
      for fault in $faults; do
        # Faults are not tried again, so that each call is one request upstream.
        printf '[[routes]]\nname = "%s-%s-fault-%s"\nretries = 0\n' "$client" "$wire" "$fault"
        printf 'targets = [{ channel = "%s-%s", model = "fault-%s" }]\n' "$wire" "$client" "$fault"
      done
    done
  done
}

# One server with its vendors, and every client against it. Arguments: a name, and a database if not SQLite.
suite() {
  local at="$home/$1" data="$home/$1/data" wire url
  mkdir "$at"
  trap stop EXIT
  for wire in $wires; do
    "$scripted" --wire "$wire" >"$at/$wire.log" 2>&1 &
    children+=($!)
    url=$(await "$at/$wire.log" "listening on ")
    export "SCRIPTED_${wire^^}=$url"
  done
  configuration >"$at/steelyard.toml"
  env -i PATH="$PATH" HOME="$at" ${2:+STEELYARD_STORE_URL="$2"} "$steelyard" serve --listen 127.0.0.1:0 \
    --config "$at/steelyard.toml" --data-dir "$data" >"$at/steelyard.log" 2>&1 &
  children+=($!)
  STEELYARD_URL=http://$(await "$data/listen.addr" "")
  STEELYARD_TLS_URL=https://$(await "$data/listen-tls.addr" "")
  STEELYARD_CERT=$data/tls/cert.pem
  STEELYARD_ADMIN_KEY=$(await "$data/admin.key" "")
  export STEELYARD_URL STEELYARD_TLS_URL STEELYARD_CERT STEELYARD_ADMIN_KEY
  local key
  key=$(env -i PATH="$PATH" STEELYARD_URL="$STEELYARD_URL" STEELYARD_API_KEY="$STEELYARD_ADMIN_KEY" \
    "$steelyard" keys create sdk --aws --output json)
  field() { python3 -c 'import json, sys; print(json.loads(sys.argv[1])[sys.argv[2]])' "$key" "$1"; }
  # The SDKs' own ways of being told, so that the tests need no wiring.
  export OPENAI_BASE_URL="$STEELYARD_URL/v1" OPENAI_API_KEY ANTHROPIC_BASE_URL="$STEELYARD_URL" ANTHROPIC_API_KEY
  export AWS_ENDPOINT_URL="$STEELYARD_URL" ANTHROPIC_BEDROCK_BASE_URL="$STEELYARD_URL" AWS_REGION=eu-central-1
  export AWS_DEFAULT_REGION=$AWS_REGION AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
  export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
  export GOOGLE_GEMINI_BASE_URL="$STEELYARD_URL" GEMINI_API_KEY
  OPENAI_API_KEY=$(field secret)
  GEMINI_API_KEY=$OPENAI_API_KEY
  ANTHROPIC_API_KEY=$OPENAI_API_KEY
  AWS_ACCESS_KEY_ID=$(field aws_access_key_id)
  AWS_SECRET_ACCESS_KEY=$(field aws_secret_access_key)
  local failed=no
  case $only in all | python) python || failed=yes ;; esac
  case $only in all | node) node_js || failed=yes ;; esac
  if [ $failed = yes ]; then
    for log in "$at"/*.log; do
      echo "--- $log, last lines"
      tail -n 40 "$log"
    done
    return 1
  fi
}

python() {
  .venv/bin/python -m pytest -p no:cacheprovider -q --color=no python
}

node_js() {
  local tap="$at/node.tap" passed=yes
  (cd node && node --test --test-concurrency=1 --test-timeout=120000 --test-reporter=tap tests/*.test.js) >"$tap" || passed=no
  [ $passed = yes ] || grep -vE '^ *(ok|#|1\.\.|---|\.\.\.|duration_ms|type:)' "$tap"
  grep -E '^# (tests|pass|fail|cancelled|skipped|todo) ' "$tap"
  for count in skipped todo cancelled; do
    grep -qx "# $count 0" "$tap" || { echo "some tests were $count" >&2; passed=no; }
  done
  [ $passed = yes ]
}

# The machine's proxies are not meant for 127.0.0.1, and its accounts are not meant to be used.
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
for name in $(compgen -e | grep -E '^(OPENAI|ANTHROPIC|AWS|BEDROCK|GEMINI|GOOGLE|STEELYARD_STORE)_' || true); do
  unset "$name"
done

if [ "$only" != node ] && ! cmp -s python/requirements.txt .venv/requirements.txt; then
  rm -rf .venv
  python3 -m venv .venv
  .venv/bin/pip install --quiet --disable-pip-version-check -r python/requirements.txt
  cp python/requirements.txt .venv/
fi
if [ "$only" != python ] && ! cmp -s node/package-lock.json node/node_modules/.installed-lock.json; then
  (cd node && npm ci --silent --no-audit --no-fund)
  cp node/package-lock.json node/node_modules/.installed-lock.json
fi

mkfifo "$home/until"
# What ends this run does not end it before it has taken the database away.
(trap '' INT TERM HUP && exec "$test_database" "the official SDKs") \
  <"$home/until" >"$home/database.out" 2>"$home/database.err" &
maker=$!
exec 9>"$home/until"
until grep -q '^made ' "$home/database.out"; do
  kill -0 "$maker" 2>/dev/null || break
  sleep 0.05
done
database=$(sed -n 's/^made //p' "$home/database.out")
if [ -z "$database" ]; then
  cat "$home/database.out" "$home/database.err"
  wait "$maker"
  maker=
fi

# Both at once: most of the time a test waits for a process.
(suite sqlite) >"$home/sqlite.out" 2>&1 &
sqlite=$!
if [ -n "$database" ]; then
  (suite postgres "$database") >"$home/postgres.out" 2>&1 &
  postgres=$!
fi
failed=no
wait $sqlite || failed=yes
echo "== the official SDKs, on SQLite"
cat "$home/sqlite.out"
if [ -n "$database" ]; then
  wait $postgres || failed=yes
  echo "== the official SDKs, on PostgreSQL"
  cat "$home/postgres.out"
fi
[ $failed = no ] || exit 1
echo "the official SDKs work"
