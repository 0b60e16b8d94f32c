# shellcheck shell=bash
# Shared by every script: paths, messages, locks.
#
# A set of servers is called an instance. Its state lies in the folder $STATE: CALLMETER_LOCAL, by
# default `.local`. All instances share their downloads, in `.local/cache`.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
CACHE=$ROOT/.local/cache
STATE=${CALLMETER_LOCAL:-.local}
[[ $STATE == /* ]] || STATE=$ROOT/$STATE
export CALLMETER_LOCAL=$STATE # for the scripts that this one starts

umask 022 # PostgreSQL may run as another user, and reads what is installed here

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
  say "$*"
  exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# need_commands COMMAND...: the few tools that every script needs.
need_commands() {
  local command missing=()
  for command in "$@"; do has "$command" || missing+=("$command"); done
  ((${#missing[@]} == 0)) ||
    die "missing: ${missing[*]} (on Debian or Ubuntu: apt-get install util-linux coreutils findutils curl)"
}

# with_lock FILE COMMAND...: one holder at a time runs its command. The lock ends with this process,
# however it ends. spawn() keeps servers from inheriting it.
with_lock() {
  local file=$1 lock
  shift
  mkdir -p "${file%/*}"
  exec {lock}>>"$file"
  flock "$lock"
  "$@"
  exec {lock}>&-
}

# write_atomically FILE: writes standard input to the file, completely or not at all.
write_atomically() {
  local file=$1 part
  part=$(mktemp "$file.XXXXXX")
  cat >"$part"
  mv -f "$part" "$file"
}

# wait_until SECONDS COMMAND...: polls until the command succeeds.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS <= deadline)) || return 1
    sleep 0.05
  done
}

prepare_state() {
  [[ $(uname -s) == Linux ]] || die "these scripts bring servers up on Linux only; elsewhere use 'docker compose up'"
  need_commands flock setsid find sha256sum
  mkdir -p "$STATE/log" "$CACHE" 2>/dev/null && [[ -w $STATE && -w $CACHE ]] ||
    die "cannot write to $STATE (made by another user? then remove it as that user: rm -rf .local)"
}
