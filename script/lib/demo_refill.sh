# shellcheck shell=bash
# The demo's payments: a local Stripe, and one busy account that refills itself from a saved card.

# The busiest simulated account. It has no plan, so all its calls cost money.
REFILLED=sim-0001
REFILL_BELOW=45.00
REFILL_BY=25.00

# demo_stripe_start: starts the local Stripe, and sets what `serve` needs to find it.
demo_stripe_start() {
  local port
  port=$(free_port)
  STRIPE_URL=http://127.0.0.1:$port
  export CALLMETER__STRIPE__JS_URL=$STRIPE_URL/v3/ CALLMETER__STRIPE__API_BASE=$STRIPE_URL STRIPE_API_KEY=sk_test_demo STRIPE_PUBLISHABLE_KEY=pk_test_demo
  STRIPE_WEBHOOK_SECRET=whsec_$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  export STRIPE_WEBHOOK_SECRET
  # A busy demo needs a refill every few seconds; the default is three in ten minutes.
  export CALLMETER__AUTO_REFILL__BURST_MAX=1000
  guarded "$CALLMETER" simulate stripe --listen "127.0.0.1:$port" --api-key sk_test_demo \
    --publishable-key pk_test_demo --webhook "$URL/webhooks/stripe" \
    --webhook-secret "$STRIPE_WEBHOOK_SECRET" >"$STATE/log/stripe.log" 2>&1
  wait_until 10 port_answers "$port" || die "the local Stripe does not start (see $STATE/log/stripe.log)"
}

# api KEY METHOD PATH [BODY]: asks callmeter.
api() {
  curl --fail --silent --show-error --max-time 10 --request "$2" --header "Authorization: Bearer $1" \
    --header 'Content-Type: application/json' ${4:+--data "$4"} "$URL$3"
}

# member NAME: the only text of that name in the JSON on standard input.
member() { sed -n "s/.*\"$1\": \{0,1\}\"\([^\"]*\)\".*/\1/p" | head -n 1; }

# demo_refill_begin: saves a card of the account, as its customer does, and turns auto-refill on.
demo_refill_begin() {
  local customer terms
  REFILL_KEY=$("$CALLMETER" key create --name demo --account "$REFILLED" --json | member key)
  api "$REFILL_KEY" POST "/v1/accounts/$REFILLED/payment-methods/setup" '{}' >/dev/null
  customer=$(curl --fail --silent "$STRIPE_URL/simulated/objects/customer" | grep -o 'cus_[A-Za-z0-9]*' | head -n 1)
  curl --fail --silent --output /dev/null --data '{}' "$STRIPE_URL/simulated/customers/$customer/cards"
  api "$REFILL_KEY" GET "/v1/accounts/$REFILLED/payment-methods" >/dev/null
  terms='{"enabled": true, "threshold": "'$REFILL_BELOW'", "amount": "'$REFILL_BY'", "monthly_cap": "999999.00"}'
  api "$REFILL_KEY" PUT "/v1/accounts/$REFILLED/auto-refill" "$terms" >/dev/null
  REFILL_SEEN=
  printf '\n%s has a card (visa 4242): below $%s it is charged $%s\n' "$REFILLED" "$REFILL_BELOW" "$REFILL_BY"
}

# demo_refill_tell: one line for each refill since the last look.
demo_refill_tell() {
  local newest balance
  newest=$(api "$REFILL_KEY" GET "/v1/accounts/$REFILLED/refills?trigger=auto&status=completed&limit=1" | grep -o 'rf_[0-9a-f]*' | head -n 1) || return 0
  [[ $newest && $newest != "$REFILL_SEEN" ]] || return 0
  REFILL_SEEN=$newest
  balance=$(api "$REFILL_KEY" GET "/v1/accounts/$REFILLED/wallet" | member balance) || return 0
  printf '%8s %s ran low and refilled itself by $%s; its balance is $%s, and its calls go on\n' '' \
    "$REFILLED" "$REFILL_BY" "$balance"
}

# demo_refill_prove: what the account paid is what it was credited.
demo_refill_prove() {
  printf '\nthe refills, compared with the local Stripe by callmeter reconcile stripe:\n'
  run "$CALLMETER" reconcile stripe --from "$(date -u +%F)" --to "$(date -u +%F)"
}
