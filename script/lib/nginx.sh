# shellcheck shell=bash
# nginx, as Debian builds it: a test reaches the service through it, as customers do. It becomes
# `.local/cache/nginx/nginx`. Tests start it, each with a folder and a port of its own.

nginx_install() {
  local dir=$CACHE/nginx program
  program=$(nginx_find) || {
    apt_install nginx || with_lock "$CACHE/nginx.lock" nginx_unpack "$dir/root"
    program=$(nginx_find)
  } || die "nginx is missing: install it (Debian, Ubuntu: apt-get install nginx), then run this again"
  mkdir -p "$dir"
  ln -sfn "$program" "$dir/nginx"
}

# Not every PATH has /usr/sbin, where Debian puts it.
nginx_find() {
  local program
  for program in "$(command -v nginx)" /usr/sbin/nginx "$CACHE/nginx/root/usr/sbin/nginx"; do
    if [[ -x $program ]] && "$program" -v >/dev/null 2>&1; then
      printf '%s' "$program"
      return
    fi
  done
  return 1
}

# Without root, on Debian and Ubuntu: apt fetches and checks the package; it is unpacked here.
nginx_unpack() {
  local dir=$1 part
  has apt-get && has dpkg-deb || return 1
  mkdir -p "${dir%/*}"
  part=$(mktemp -d "$dir.part.XXXXXX")
  say "fetching nginx by apt-get download"
  if (cd "$part" && apt-get -q download nginx >download.log 2>&1 && dpkg-deb -x nginx_*.deb root); then
    rm -rf "$dir"
    mv -T "$part/root" "$dir"
  fi
  rm -rf "$part"
}
