# shellcheck shell=bash
# The build's needs: the pinned toolchain, and the C libraries of the Kafka client.

need_cargo() {
  has cargo || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
  has cargo || die "Rust is missing: install rustup as https://rustup.rs says, then run this again"
  cd "$ROOT" # where rust-toolchain.toml pins the version
}

# need_rust: cargo with clippy and rustfmt.
need_rust() {
  need_cargo
  cargo clippy --version >/dev/null 2>&1 && cargo fmt --version >/dev/null 2>&1 || install_toolchain
}

install_toolchain() {
  local version
  version=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$ROOT/rust-toolchain.toml")
  has rustup || die "cargo lacks clippy or rustfmt: install rustup as https://rustup.rs says, or these two"
  say "installing Rust $version by rustup"
  rustup --quiet toolchain install "$version" --profile minimal --component clippy --component rustfmt ||
    die "rustup could not install Rust $version"
}

need_build_packages() {
  if build_packages_present; then return; fi
  if apt_install gcc g++ make pkg-config libssl-dev zlib1g-dev && build_packages_present; then return; fi
  if has cc && has c++ && use_unpacked_packages; then return; fi
  die "the build needs gcc, g++, make, pkg-config and the headers of OpenSSL and zlib (Debian, Ubuntu: apt-get install gcc g++ make pkg-config libssl-dev zlib1g-dev)"
}

build_packages_present() {
  has cc && has c++ && has make && has pkg-config && pkg-config --exists openssl zlib
}

# Without root: unpacks the packages into .local/cache: make, and OpenSSL to link statically.
# (zlib is then built from source by its crate.)
use_unpacked_packages() {
  local dir=$CACHE/build-packages
  [[ -d $dir ]] || with_lock "$CACHE/build-packages.lock" unpack_packages "$dir" make libssl-dev || return 1
  export PATH=$PATH:$dir/usr/bin
  export OPENSSL_STATIC=1 OPENSSL_INCLUDE_DIR=$dir/usr/include OPENSSL_LIB_DIR=$dir/usr/lib
  export C_INCLUDE_PATH=$dir/usr/include LIBRARY_PATH=$dir/usr/lib # librdkafka's configure asks gcc
}

# unpack_packages DIR PACKAGE...: keeps lists and packages in our own folders, which needs no root.
unpack_packages() {
  local dir=$1 part=$1.part apt package
  [[ ! -d $dir ]] || return 0
  has apt-get && has dpkg-deb || return 1
  say "fetching by apt, without installing: ${*:2}"
  rm -rf "$part"
  mkdir -p "$part/apt/lists/partial"
  apt=(apt-get -q -o "Dir::State::Lists=$part/apt/lists" -o "Dir::Cache=$part/apt" -o APT::Sandbox::User=)
  {
    "${apt[@]}" update && (cd "$part" && "${apt[@]}" download "${@:2}")
  } >"$CACHE/apt.log" 2>&1 || return 1
  for package in "$part"/*.deb; do dpkg-deb --extract "$package" "$part" || return 1; done
  # One folder of headers and one of archives; Debian also has folders per architecture.
  cp -r "$part"/usr/include/*-linux-gnu*/* "$part/usr/include/"
  mv "$part"/usr/lib/*-linux-gnu*/*.a "$part/usr/lib/"
  rm -rf "$part"/usr/lib/*-linux-gnu* "$part/apt" "$part"/*.deb
  mv -T "$part" "$dir"
}
