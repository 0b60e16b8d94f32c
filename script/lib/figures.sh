# shellcheck shell=bash
# Live figures of a running callmeter, read from its /metrics.

# metrics_read URL: fetches the metrics once, for metric().
metrics_read() { METRICS=$(curl --fail --silent --max-time 5 "$1/metrics") || METRICS=; }

# metric NAME [LABELS]: the sum of all series of that name whose labels contain LABELS.
metric() {
  awk -v name="$1" -v labels="${2:-}" '
    { bare = $1; sub(/\{.*/, "", bare) }
    bare == name && index($0, labels) { sum += $NF }
    END { printf "%.2f", sum }' <<<"$METRICS"
}

# count NAME [LABELS]: the same, for whole numbers.
count() {
  local sum
  sum=$(metric "$@")
  printf '%s' "${sum%.*}"
}

charged() { count callmeter_events_total 'outcome="charged"'; }

lag() { count callmeter_consumer_lag_records; }

milliseconds() { printf '%s' $((${EPOCHREALTIME/[^0-9]/} / 1000)); }

print_figures_head() {
  printf '\n%7s %8s %10s %10s %8s %13s %7s %10s %8s %7s %12s\n' time calls/s charged duplicates \
    rejected dollars lag allowed denied holds held
}

# print_figures SECONDS RATE
print_figures() {
  printf '%4d:%02d %8d %10d %10d %8d %13s %7d %10d %8d %7d %12s\n' $(($1 / 60)) $(($1 % 60)) "$2" \
    "$(charged)" "$(count callmeter_events_total 'outcome="duplicate"')" \
    "$(count callmeter_events_total 'outcome="rejected"')" \
    "$(metric callmeter_charged_dollars_total)" "$(lag)" \
    "$(count callmeter_authorizations_total 'decision="allow"')" \
    "$(count callmeter_authorizations_total 'decision="deny"')" \
    "$(count callmeter_holds_active)" "$(metric callmeter_held_dollars)"
}
