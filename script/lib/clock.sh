# shellcheck shell=bash
# Another time for every program that a script starts: servers, cargo, tests, callmeter.
#
# A small library (clock.c) moves the time of day of each program by the same amount. Time runs on from
# there; timers and timeouts are not affected. Linux only.

# clock_offset WHEN: whole seconds from now to WHEN (+40d, -90m, or a date such as
# "2028-02-29 23:59:30 UTC"), with a sign.
clock_offset() {
  local number unit
  if [[ $1 =~ ^([+-])([0-9]{1,7})([smhd])$ ]]; then
    number=${BASH_REMATCH[2]}
    declare -A unit=([s]=1 [m]=60 [h]=3600 [d]=86400)
    printf '%s%d' "${BASH_REMATCH[1]}" $((10#$number * unit[${BASH_REMATCH[3]}]))
  else
    printf '%+d' $(($(date -d "$1" +%s) - $(date +%s)))
  fi
}

# clock_move WHEN: moves the clock of all programs that this script starts afterwards.
clock_move() {
  local offset library=$CACHE/clock/clock.so
  offset=$(clock_offset "$1") || die "--clock $1 is neither an offset such as +40d nor a date"
  mkdir -p "$CACHE/clock"
  cc -shared -fPIC -O2 -Wall -Wextra -Werror -o "$library" "$ROOT/script/lib/clock.c" ||
    die "script/lib/clock.c cannot be built"
  export LD_PRELOAD=$library CLOCK_OFFSET=$offset
  say "the clock is moved by $offset s: $(date -u '+%F %T UTC')"
}
