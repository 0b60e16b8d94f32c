# shellcheck shell=bash
# pgbouncer 1.21 or later, the first that keeps prepared statements in transaction pooling mode.
# Debian 12 has 1.18, so it is built from the source package of a newer release. apt reads that
# release with lists and settings below .local/cache, and leaves the machine's unchanged.
# `.local/cache/pgbouncer/pgbouncer` is the program, or a link to it.

PGBOUNCER_RELEASE=trixie # Debian 13

pgbouncer_install() {
  local dir=$CACHE/pgbouncer
  mkdir -p "$dir"
  with_lock "$CACHE/pgbouncer.lock" pgbouncer_make "$dir" ||
    die "pgbouncer is missing: install 1.21 or later, then run this again (the last lines of .local/cache/pgbouncer/build.log tell more)"
}

pgbouncer_make() {
  local dir=$1 found
  if pgbouncer_is_new "$dir/pgbouncer"; then return; fi
  if found=$(command -v pgbouncer) && pgbouncer_is_new "$found"; then
    ln -sfn "$found" "$dir/pgbouncer"
    return
  fi
  say "building pgbouncer from the source package of Debian $PGBOUNCER_RELEASE"
  pgbouncer_build "$dir" >"$dir/build.log" 2>&1 && pgbouncer_is_new "$dir/pgbouncer"
}

pgbouncer_is_new() {
  local version
  [[ -x $1 ]] && version=$("$1" --version 2>/dev/null | sed -n '1s/^PgBouncer //p') || return 1
  [[ $version ]] && printf '1.21\n%s\n' "$version" | sort --check=silent --version-sort
}

pgbouncer_build() {
  local dir=$1 part
  has apt-get || { say "there is no apt here"; return 1; }
  rm -rf "$dir"/part.*
  part=$(mktemp -d "$dir/part.XXXXXX")
  pgbouncer_packages && pgbouncer_source "$part" && (
    cd "$part"/pgbouncer-*/ &&
      ./configure --without-openssl --without-cares &&
      make pgbouncer &&
      mv -f pgbouncer "$dir/pgbouncer"
  ) || return 1
  rm -rf "$part"
}

# Without root, libevent is unpacked into .local/cache and linked statically.
pgbouncer_packages() {
  local dir=$CACHE/libevent
  if pgbouncer_can_build; then return; fi
  if apt_install gcc make pkg-config libevent-dev && pgbouncer_can_build; then return; fi
  has cc && has pkg-config || return 1
  has make || use_unpacked_packages || return 1
  unpack_packages "$dir" libevent-dev || return 1
  export LIBEVENT_CFLAGS=-I$dir/usr/include LIBEVENT_LIBS=$dir/usr/lib/libevent.a
}

pgbouncer_can_build() {
  has cc && has make && has pkg-config && pkg-config --exists libevent
}

# pgbouncer_source PART: fetches the package, which apt checks with Debian's key, and unpacks it.
pgbouncer_source() {
  local part=$1 mirror key=/usr/share/keyrings/debian-archive-keyring.gpg options
  # shellcheck disable=SC2016 # apt expands it
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)
  [[ $mirror && -r $key ]] || { say "apt has no source of Debian's here"; return 1; }
  mkdir -p "$part/lists/partial" "$part/archives/partial"
  : >"$part/status"
  printf 'deb-src [signed-by=%s] %s %s main\n' "$key" "$mirror" "$PGBOUNCER_RELEASE" >"$part/sources.list"
  options=(
    -o "Dir::Etc::SourceList=$part/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State=$part" -o "Dir::State::Lists=$part/lists" -o "Dir::State::Status=$part/status"
    -o "Dir::Cache=$part" -o APT::Sandbox::User=root
  )
  apt-get -q "${options[@]}" update &&
    (cd "$part" && apt-get -q "${options[@]}" source --download-only pgbouncer) &&
    tar -xf "$part"/pgbouncer_*.orig.tar.* -C "$part"
}
