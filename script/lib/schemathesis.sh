# shellcheck shell=bash
# Checks the API against its document: schemathesis sends valid and invalid requests to a real `serve`
# (odd JSON, NUL, huge numbers, broken percent-encoding, unknown methods), and reports answers that the
# document does not describe, and every 5xx. The seed is fixed. SCHEMATHESIS_SECONDS and
# SCHEMATHESIS_EXAMPLES allow longer runs.

SCHEMATHESIS_SECONDS=${SCHEMATHESIS_SECONDS:-40}
SCHEMATHESIS_EXAMPLES=${SCHEMATHESIS_EXAMPLES:-20}

# schemathesis_program: prints its path below .local/cache; installs it again if the lock changes.
schemathesis_program() {
  local lock=$ROOT/script/lock/schemathesis.txt dir
  dir=$CACHE/schemathesis-$(cksum <"$lock" | cut -d' ' -f1)
  if [[ ! -x $dir/bin/schemathesis ]]; then
    has python3 || apt_install python3 python3-pip >&2 || return 1
    python3 -m pip --version >/dev/null 2>&1 || apt_install python3-pip >&2 || return 1
    say "fetching schemathesis from PyPI"
    with_lock "$CACHE/python.lock" schemathesis_unpack "$lock" "$dir" || return 1
  fi
  printf '%s' "$dir/bin/schemathesis"
}

schemathesis_unpack() {
  local lock=$1 dir=$2 part
  [[ ! -x $dir/bin/schemathesis ]] || return 0
  rm -rf "$dir".part.*
  part=$(mktemp -d "$dir.part.XXXXXX")
  PIP_ROOT_USER_ACTION=ignore TMPDIR=$part python3 -m pip install --quiet --no-cache-dir \
    --disable-pip-version-check --no-deps --only-binary :all: --requirement "$lock" \
    --target "$part/lib" >&2 || return 1
  mkdir -p "$part/bin"
  # Paths are relative to the program, so that the folder can be moved.
  cat >"$part/bin/schemathesis" <<'PROGRAM'
#!/bin/sh
# Its packages are found relative to this file, so that the folder can be moved.
PYTHONPATH=$(dirname "$0")/../lib exec python3 -m schemathesis.cli "$@"
PROGRAM
  chmod 755 "$part" "$part/bin/schemathesis"
  mv -T "$part" "$dir"
}

schemathesis_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# schemathesis_run PROGRAM: starts a service of its own, on the database of the set.
schemathesis_run() {
  local program=$1 port stripe_port twilio_port key pid stripe_pid twilio_pid status=0
  port=$(schemathesis_port)
  stripe_port=$(schemathesis_port)
  twilio_port=$(schemathesis_port)
  key=a-key-of-script-test-0123456789abcdef
  export CALLMETER__HTTP__ADMIN_KEY=$key CALLMETER__HTTP__LISTEN=127.0.0.1:$port
  export CALLMETER__KAFKA__GROUP=schemathesis
  # schemathesis omits the key and invents keys, and takes a 429 for the answer to other input.
  export CALLMETER__HTTP__FAILED_LOGINS_PER_SECOND=0
  # So that callbacks without a signature get that answer.
  export CALLMETER__HTTP__PUBLIC_URL=https://wallet.example.com
  export TWILIO_ACCOUNT_SID=AC0123456789abcdef0123456789abcdef
  export TWILIO_AUTH_TOKEN=0123456789abcdef0123456789abcdef
  # A local Twilio, which sells numbers.
  export CALLMETER__TWILIO__API_BASE=http://127.0.0.1:$twilio_port
  # A local Stripe, so that refills get another answer than "not configured".
  export STRIPE_API_KEY=sk_test_schemathesis STRIPE_PUBLISHABLE_KEY=pk_test_schemathesis
  export STRIPE_WEBHOOK_SECRET=whsec_schemathesis CALLMETER__STRIPE__API_BASE=http://127.0.0.1:$stripe_port
  [[ ${CALLMETER_IS_BUILT:-} ]] || cargo build --locked --quiet --bin callmeter || return 1
  local binary=${CARGO_TARGET_DIR:-$ROOT/target}/debug/callmeter log=$STATE/schemathesis.log
  "$binary" migrate >"$log" 2>&1 || return 1
  "$binary" simulate stripe --listen "127.0.0.1:$stripe_port" --api-key "$STRIPE_API_KEY" \
    --publishable-key "$STRIPE_PUBLISHABLE_KEY" >"$STATE/schemathesis-stripe.log" 2>&1 &
  stripe_pid=$!
  "$binary" simulate twilio --listen "127.0.0.1:$twilio_port" >"$STATE/schemathesis-twilio.log" 2>&1 &
  twilio_pid=$!
  "$binary" serve --role api >>"$log" 2>&1 &
  pid=$!
  local bearer="Authorization: Bearer $key" url=http://127.0.0.1:$port
  curl --retry 60 --retry-all-errors --retry-delay 1 -sf -o /dev/null "$url/readyz" || status=1
  # The account that the document's examples name.
  curl -s -o /dev/null -H "$bearer" --json '{"id":"acme","name":"Acme","opening_balance":"25",
    "twilio_account_sid":"AC0123456789abcdef0123456789abcdef"}' "$url/v1/accounts" || status=1
  # Two checks are off: that all input that fits the schemas is accepted (an unknown plan is not), and
  # that a key is required (tests/it/scopes.rs tries every key on every path).
  ((status)) || (cd "$STATE" && "$program" run "$url/openapi.json" --header "$bearer" --seed 1 \
    --exclude-checks positive_data_acceptance,ignored_auth --phases examples,coverage,fuzzing \
    --exclude-path /metrics --exclude-path "/v1/accounts/{account}/events" \
    --max-examples "$SCHEMATHESIS_EXAMPLES" --max-time "$SCHEMATHESIS_SECONDS" --warnings off \
    --generation-database none --continue-on-failure --no-color) || status=1
  kill "$pid" "$stripe_pid" "$twilio_pid"
  wait "$pid" || status=1
  wait "$stripe_pid" || status=1
  wait "$twilio_pid" || status=1
  ! grep -i 'panicked' "$log" || status=1
  return $status
}
