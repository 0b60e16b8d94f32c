# shellcheck shell=bash
# What a build needs: the pinned toolchain, and the C libraries behind the Kafka client.

need_rust() {
  has cargo || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
  has cargo || die "Rust is missing: install rustup as https://rustup.rs says, then run this again"
  cd "$ROOT" # where rust-toolchain.toml pins the version
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
  die "the build needs gcc, make, pkg-config and the headers of OpenSSL and zlib (Debian, Ubuntu: apt-get install gcc g++ make pkg-config libssl-dev zlib1g-dev)"
}

build_packages_present() {
  has cc && has c++ && has make && has pkg-config && pkg-config --exists openssl zlib
}
