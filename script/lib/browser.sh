# shellcheck shell=bash
# A browser and what drives it, for the test of the wallet page. .local/cache/browser contains `chromium`,
# `node` and `node_modules`. The packages have no dependencies of their own.

browser_install() {
  local dir=$CACHE/browser npm
  mkdir -p "$dir"
  has chromium || apt_install chromium || die "chromium is missing: install it, then run this again"
  ln -sfn "$(command -v chromium)" "$dir/chromium"
  node_link "$dir" || die "node and npm are missing: install them, then run this again"
  node_packages "$dir" browser.txt || die "packages cannot be fetched from npm"
}
