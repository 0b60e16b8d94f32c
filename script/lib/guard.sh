# shellcheck shell=bash
# All programs that a script started end with it, however it ends: normally, by Ctrl-C, by SIGKILL. A
# second process, the guard, reads a pipe that only the script holds open; the pipe's end means that
# the script has ended. Then the guard stops the registered programs, and the servers.

# guard_start: starts the guard. Also makes a second run on the same instance wait.
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

# guard_end: all programs are stopped when it returns. Keeps the exit status.
guard_end() {
  local status=$?
  trap '' HUP INT TERM
  exec {GUARD}>&-
  wait "$GUARD_PID" 2>/dev/null || true
  return "$status"
}

# unguarded COMMAND...: runs it without the guard's pipe and lock.
unguarded() { "$@" {GUARD}>&- {RUN_LOCK}>&-; }

# guarded COMMAND...: starts it in the background, in a session of its own, so that all of its
# children can be stopped. GUARDED is its pid.
guarded() {
  (
    exec {GUARD}>&- {RUN_LOCK}>&-
    exec setsid "$@"
  ) &
  GUARDED=$!
  printf '+%s\n' "$GUARDED" >&"$GUARD"
}

# run COMMAND...: in the foreground. (The script handles a signal at once, not after the command.)
run() {
  local status=0
  guarded "$@"
  wait "$GUARDED" || status=$?
  # The kernel may reuse the number, unless children of the command still hold it.
  kill -s 0 -- "-$GUARDED" 2>/dev/null || printf -- '-%s\n' "$GUARDED" >&"$GUARD"
  return "$status"
}
