# shellcheck shell=bash
# Another time for every program that a script starts: servers, cargo, tests, callmeter.
#
# libfaketime (Debian, Ubuntu: faketime) moves the clock of each program by the same amount. Time
# runs on from there; timers and timeouts are not affected.

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
  local offset library
  offset=$(clock_offset "$1") || die "--clock $1 is neither an offset such as +40d nor a date"
  library=$(clock_library) || { apt_install faketime && library=$(clock_library); } ||
    die "libfaketime is missing: install it (Debian, Ubuntu: apt-get install faketime)"
  export LD_PRELOAD=$library FAKETIME=${offset}s FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1
  # One offset for all: no process may use another's start time.
  export FAKETIME_NO_CACHE=1
  say "the clock is moved by $offset s: $(date -u '+%F %T UTC')"
}

clock_library() {
  local found
  for found in /usr/lib/*/faketime/libfaketimeMT.so.1 /usr/lib*/faketime/libfaketimeMT.so.1; do
    [[ ! -e $found ]] || { printf '%s' "$found"; return; }
  done
  return 1
}
