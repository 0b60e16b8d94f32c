# shellcheck shell=bash
# The demo's alerts: an account without a plan has a threshold and a budget that stops its calls.

LIMITED=sim-0004
LIMITED_BELOW=49.00
LIMITED_BUDGET=2.00

# demo_budget_begin: sets both, as the customer does, and listens to the account's live stream.
demo_budget_begin() {
  local key
  key=$("$CALLMETER" key create --name demo --account "$LIMITED" --json | member key)
  api "$key" PUT "/v1/accounts/$LIMITED/alerts" '{"thresholds": ["'$LIMITED_BELOW'"]}' >/dev/null
  api "$key" PUT "/v1/accounts/$LIMITED/budget" \
    '{"monthly": "'$LIMITED_BUDGET'", "warn_at_percent": [80], "stop": true}' >/dev/null
  guarded curl --silent --no-buffer --header "Authorization: Bearer $key" "$URL/v1/accounts/$LIMITED/events" \
    >"$STATE/log/events.log"
  BUDGET_TOLD=0
  printf '%s is told below $%s, and may spend $%s a month; then its calls are refused\n' \
    "$LIMITED" "$LIMITED_BELOW" "$LIMITED_BUDGET"
}

# demo_budget_tell: one line for each alert since the last look.
demo_budget_tell() {
  local told count
  told=$(awk '/^event: ?(alert|budget)/ { name = $NF } /^$/ { name = "" }
    /^data:/ && name { sub(/^data: ?/, ""); print name " " $0; name = "" }' "$STATE/log/events.log")
  [[ $told ]] || return 0
  count=$(wc -l <<<"$told")
  ((count > BUDGET_TOLD)) || return 0
  tail -n +$((BUDGET_TOLD + 1)) <<<"$told" | while read -r told; do
    printf '%8s %s was told: %s\n' '' "$LIMITED" "$told"
  done
  BUDGET_TOLD=$count
}
