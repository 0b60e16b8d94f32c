# shellcheck shell=bash
# The demo's numbers: a local Twilio, and an account that buys a number and pays its next month.

RENTER=sim-0007

# demo_twilio_start: starts the local Twilio, and sets what `serve` needs to find it.
demo_twilio_start() {
  local port
  port=$(free_port)
  TWILIO_ACCOUNT_SID=AC$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  TWILIO_AUTH_TOKEN=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  export TWILIO_ACCOUNT_SID TWILIO_AUTH_TOKEN CALLMETER__TWILIO__API_BASE=http://127.0.0.1:$port
  guarded "$CALLMETER" simulate twilio --listen "127.0.0.1:$port" >"$STATE/log/twilio.log" 2>&1
  wait_until 10 port_answers "$port" || die "the local Twilio does not start (see $STATE/log/twilio.log)"
}

# demo_number_begin: buys a number, as the customer does, then publishes its next month twice.
demo_number_begin() {
  local key found number
  key=$("$CALLMETER" key create --name demo --account "$RENTER" --json | member key)
  found=$(api "$key" GET "/v1/numbers/available?country=US&type=local" | member phone_number)
  [[ $found ]] || die "the local Twilio has no number (see $STATE/log/twilio.log)"
  number=$(api "$key" POST "/v1/accounts/$RENTER/numbers" \
    '{"phone_number": "'"$found"'", "country": "US", "type": "local"}')
  printf '%s bought %s for $%s, the first month included; the next one is due on %s\n' "$RENTER" "$found" \
    "$(member price <<<"$number")" "$(member next_renewal <<<"$number")"
  demo_number_rent "$number"
  RENT_KEY=$key RENT_SEEN=
}

# demo_number_rent NUMBER: the month that the service publishes on its day, published now and twice.
demo_number_rent() {
  local sid event account
  sid=$(member sid <<<"$1")
  account=$(api "$CALLMETER__HTTP__ADMIN_KEY" GET "/v1/accounts/$RENTER" | grep -o 'AC[0-9a-f]\{32\}' | head -n 1)
  event='{"specversion":"1.0","id":"demo-rent","type":"callmeter.number.rental.due","source":"demo","data":{"AccountSid":"'$account'","PhoneNumberSid":"'$sid'","PhoneNumber":"'$(member phone_number <<<"$1")'","IsoCountry":"US","NumberType":"local","PeriodStart":"'$(member next_renewal <<<"$1")'"}}'
  printf '%s\n%s\n' "$event" "$event" | run "$CALLMETER" publish >/dev/null
}

# demo_number_tell: one line once the rent is charged.
demo_number_tell() {
  local rent
  [[ ! $RENT_SEEN ]] || return 0
  rent=$(api "$RENT_KEY" GET "/v1/accounts/$RENTER/transactions?kind=number_rental&limit=10") || return 0
  rent=$(grep -o '"amount": \{0,1\}"[0-9.]*"' <<<"$rent") || return 0
  RENT_SEEN=yes
  printf '%8s %s paid the next month of its number: $%s, published twice and charged %s\n' '' "$RENTER" \
    "$(head -n 1 <<<"$rent" | grep -o '[0-9][0-9.]*')" "$(times "$(wc -l <<<"$rent")")"
}

times() { [[ $1 == 1 ]] && echo once || echo "$1 times"; }
