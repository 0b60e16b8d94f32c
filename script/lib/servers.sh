# shellcheck shell=bash
# The three servers of an instance: all up, all down, and each one alone. A server's file defines
# NAME_install, NAME_prepare (data and settings), NAME_exec (becomes it), NAME_ready and NAME_stop.

# shellcheck source=script/lib/common.sh
source "${BASH_SOURCE[0]%/*}/common.sh"
# shellcheck source=script/lib/process.sh
source "$ROOT/script/lib/process.sh"
# shellcheck source=script/lib/install.sh
source "$ROOT/script/lib/install.sh"
# shellcheck source=script/lib/postgres.sh
source "$ROOT/script/lib/postgres.sh"
# shellcheck source=script/lib/redis.sh
source "$ROOT/script/lib/redis.sh"
# shellcheck source=script/lib/kafka.sh
source "$ROOT/script/lib/kafka.sh"

SERVERS=(kafka postgres redis) # the slowest to start first

# with_server NAME COMMAND...: no other script acts on this server meanwhile.
with_server() { with_lock "$STATE/locks/$1" "${@:2}"; }

# with_servers COMMAND...: the same for all of them.
with_servers() { with_server kafka with_server postgres with_server redis "$@"; }

# launch NAME: starts it if it does not run; await() waits for it.
launch() {
  local name=$1
  mkdir -p "$(server_dir "$name")"
  signal_server "$name" CONT # a test may have left it paused
  if server_runs "$name" && wait_until 30 ready_or server_gone "$name" && "${name}_ready"; then return; fi
  kill_server "$name" # hung, or leftovers of a killed one
  "${name}_prepare"
  spawn "$name" "${name}_exec"
}

# await NAME: waits until it answers. Another process may take its port just before it does; then it is
# launched again, and settle_port chooses another port.
await() {
  local name=$1 tries
  for tries in 2 1 0; do
    if wait_until 60 ready_or spawned_ended "$name" && "${name}_ready"; then return; fi
    if ((tries == 0)) || [[ ! ${PORTS_MAY_MOVE:-} ]]; then break; fi
    launch "$name"
  done
  say "$name does not start; the end of its log, $(server_log "$name"):"
  tail -n 15 "$(server_log "$name")" >&2
  return 1
}

# ready_or CONDITION NAME
ready_or() { "${2}_ready" || "$1" "$2"; }

start_server() {
  "${1}_install"
  launch "$1"
  await "$1"
}

# servers_up: idempotent. All are launched before the first is awaited.
servers_up() {
  local name PORTS_MAY_MOVE=yes
  trap kill_spawned EXIT # if one does not start, stop the others
  for name in "${SERVERS[@]}"; do "${name}_install"; done
  for name in "${SERVERS[@]}"; do launch "$name"; done
  for name in "${SERVERS[@]}"; do await "$name"; done
  servers_env | write_atomically "$STATE/env"
  trap - EXIT
}

kill_spawned() {
  local name
  for name in "${!SPAWNED[@]}"; do
    kill -s KILL "${SPAWNED[$name]}" 2>/dev/null || true
    kill_server "$name"
  done
}

servers_env() {
  local port socket
  port=$(server_port postgres)
  socket=$(server_dir postgres)/socket
  printf 'export DATABASE_URL=postgres://callmeter@127.0.0.1:%s/callmeter\n' "$port"
  printf 'export REDIS_URL=redis://127.0.0.1:%s\n' "$(server_port redis)"
  printf 'export KAFKA_BROKERS=127.0.0.1:%s\n' "$(server_port kafka)"
  # Where pg_dump and pg_restore of the server's own version are.
  printf 'export POSTGRES_BIN=%q\n' "$POSTGRES_BIN"
  # The kernel allows 107 bytes for the path of a socket, and the path is part of a URL.
  if [[ $socket =~ ^[A-Za-z0-9/._-]+$ ]] && ((${#socket} + ${#port} < 107 - 10)); then
    printf 'export DATABASE_SOCKET_URL=postgres://callmeter@%s:%s/callmeter\n' "${socket//\//%2F}" "$port"
  fi
}

# servers_down: afterwards nothing runs and no data is left; logs stay until the next start.
servers_down() {
  local name
  rm -f "$STATE/env"
  for name in "${SERVERS[@]}"; do
    signal_server "$name" CONT
    if [[ $name == postgres ]]; then postgres_stop_immediate; else kill_server "$name"; fi
    rm -rf "$(server_dir "$name")"
  done
}
