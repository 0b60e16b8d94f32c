# shellcheck shell=bash
# A browser and what drives it, for the test of the wallet page. .local/cache/browser contains `chromium`,
# `node` and `node_modules`. The packages have no dependencies of their own.

browser_install() {
  local dir=$CACHE/browser npm sum package version
  mkdir -p "$dir"
  has chromium || apt_install chromium || die "chromium is missing: install it, then run this again"
  ln -sfn "$(command -v chromium)" "$dir/chromium"
  { has node && has npm; } || apt_install nodejs npm || die "node and npm are missing: install them, then run this again"
  npm=(npm)
  ln -sfn "$(command -v node)" "$dir/node"
  while read -r sum package version; do
    sdks_unpack "$dir" "$sum" "$package" "$version" || die "$package cannot be fetched from npm"
  done < <(grep -v '^#' "$ROOT/script/lock/browser.txt")
}
