# shellcheck shell=bash
# Background processes and ports.
#
# No pid files: they go stale, and another process may get the pid. A server is a process of the right
# name whose working directory lies in the server's own folder. This works after a killed run, and even
# after the folder was deleted.

# server_dir NAME / server_log NAME
server_dir() { printf '%s/%s' "$STATE" "$1"; }
server_log() { printf '%s/log/%s.log' "$STATE" "$1"; }

# The name under which the kernel lists the process of a server.
process_name() {
  case $1 in
    postgres) printf 'postgres' ;;
    redis) printf 'redis-server' ;;
    kafka) printf 'java' ;;
  esac
}

# server_pids NAME: all processes of the server, one per line; none if it does not run.
server_pids() {
  local name=$1 dir process cwd comm
  dir=$(server_dir "$name")
  process=$(process_name "$name")
  # find complains about processes that end meanwhile or belong to other users.
  find /proc/[0-9]*/cwd -maxdepth 0 -printf '%h %l\n' 2>/dev/null |
    while read -r proc cwd; do
      [[ $cwd == "$dir" || $cwd == "$dir "* || $cwd == "$dir/"* ]] || continue
      read -r comm 2>/dev/null <"$proc/comm" || continue
      [[ $comm != "$process" ]] || printf '%s\n' "${proc#/proc/}"
    done || true
}

server_runs() { [[ -n $(server_pids "$1") ]]; }

server_has_pid() { [[ $'\n'$(server_pids "$1")$'\n' == *$'\n'"$2"$'\n'* ]]; }

server_gone() { ! server_runs "$1"; }

# signal_server NAME SIGNAL [PID]: signals that process, or all processes of the server.
signal_server() {
  local pids
  mapfile -t pids < <(if (($# > 2)); then printf '%s\n' "$3"; else server_pids "$1"; fi)
  ((${#pids[@]} == 0)) || kill -s "$2" "${pids[@]}" 2>/dev/null || true
}

# kill_server NAME: kills it, as a power cut would.
kill_server() {
  signal_server "$1" KILL
  wait_until 10 server_gone "$1" || die "$1 does not die (pids $(server_pids "$1" | xargs))"
}

# end_server NAME SIGNAL [PID]: sends the signal, waits, and kills what is left.
end_server() {
  signal_server "$1" CONT # a paused process handles no other signal
  signal_server "$@"
  wait_until 20 server_gone "$1" || kill_server "$1"
}

declare -A SPAWNED=() # NAME to pid

# spawn NAME FUNCTION: runs the function, which ends in exec, as a daemon: with its own session and
# log, in the server's folder, and without any descriptor of ours (a lock, a caller's pipe).
spawn() {
  local name=$1 run=$2
  (
    exec </dev/null >>"$(server_log "$name")" 2>&1
    for fd in /proc/self/fd/*; do
      fd=${fd##*/}
      ((fd <= 2)) || eval "exec $fd>&-"
    done
    cd "$(server_dir "$name")"
    "$run"
  ) &
  SPAWNED[$name]=$!
  disown
}

# spawned_ended NAME: whether the process that spawn() started has ended. (exec keeps the pid.)
spawned_ended() { ! kill -s 0 "${SPAWNED[$1]:-0}" 2>/dev/null; }

port_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Below the range from which the kernel takes the ports of outgoing connections: otherwise one of them
# could take the port of a server that a test has stopped for a while.
free_port() {
  local first last port
  read -r last _ </proc/sys/net/ipv4/ip_local_port_range
  first=$((last > 12000 ? 10000 : last))
  last=$((last > 12000 ? last - 1 : 60000))
  while :; do
    port=$((first + (RANDOM * 32768 + RANDOM) % (last - first)))
    port_answers "$port" || break
  done
  printf '%s' "$port"
}

# server_port NAME: its port, or the one that it had when it last ran.
server_port() { grep -xE '[0-9]+' "$(server_dir "$1")/port" 2>/dev/null; }

# settle_port NAME: keeps the port if it is free. Otherwise takes another, if PORTS_MAY_MOVE is set
# (script/up writes the addresses again; a test that restarts a server relies on the old one).
settle_port() {
  local name=$1 port
  if port=$(server_port "$name"); then
    port_answers "$port" || return 0
    [[ ${PORTS_MAY_MOVE:-} ]] || die "port $port of $name is taken by another process; script/up chooses a new one"
  fi
  free_port | write_atomically "$(server_dir "$name")/port"
}
