# shellcheck shell=bash
# What a script started ends with the script, however the script itself ends: by itself, by Ctrl-C,
# by SIGKILL. A second process, the guard, reads a pipe that only the script holds open; the pipe's
# end is the script's end. Then the guard stops the programs it was told of, and the servers.

# guard_start: from here on. Also keeps a second run on the same instance waiting.
guard_start() {
  mkdir -p "$STATE/locks"
  exec {RUN_LOCK}>>"$STATE/locks/run"
  flock --nonblock "$RUN_LOCK" || {
    say "waiting for another run on $STATE to end"
    flock "$RUN_LOCK"
  }
  exec {GUARD}> >(exec setsid "$ROOT/script/lib/guard" "$STATE" >>"$STATE/log/guard.log" 2>&1)
  GUARD_PID=$!
  trap guard_end EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# guard_end: everything is stopped when it returns. The exit status stays.
guard_end() {
  local status=$?
  trap '' HUP INT TERM
  exec {GUARD}>&-
  wait "$GUARD_PID" 2>/dev/null || true
  return "$status"
}

# unguarded COMMAND...: does not inherit the guard's pipe and lock.
unguarded() { "$@" {GUARD}>&- {RUN_LOCK}>&-; }

# guarded COMMAND...: starts it in the background, in a session of its own, so that all of its
# children can be stopped. Its pid is in GUARDED.
guarded() {
  (
    exec {GUARD}>&- {RUN_LOCK}>&-
    exec setsid "$@"
  ) &
  GUARDED=$!
  printf '+%s\n' "$GUARDED" >&"$GUARD"
}

# run COMMAND...: in the foreground. (A signal to the script is obeyed at once, not after it.)
run() {
  local status=0
  guarded "$@"
  wait "$GUARDED" || status=$?
  # The number may be given to a stranger, unless children of the command still hold it.
  kill -s 0 -- "-$GUARDED" 2>/dev/null || printf -- '-%s\n' "$GUARDED" >&"$GUARD"
  return "$status"
}
