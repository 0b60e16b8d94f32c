//! Where a page that interrupted something leads back to, such as a purchase that lacked money.

use super::Page;
use super::form::Form;

/// Most bytes of such an address.
const BYTES_MAX: usize = 512;

/// A page of the wallet to go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NextPage {
    /// Its path and query.
    pub(super) address: String,
    /// What it is for, as a button.
    pub(super) action: &'static str,
}

impl Page {
    /// The page that an address or a form names as `next`; anything but a page of the wallet counts
    /// as none.
    pub(super) fn next_in(&self, form: &Form) -> Option<NextPage> {
        next_page(&self.at, form.one("next")?)
    }
}

fn next_page(at: &str, text: &str) -> Option<NextPage> {
    let rest = text.strip_prefix(at)?.strip_prefix('/')?;
    let is_plain = text.len() <= BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && !rest.split('?').next().unwrap_or_default().split('/').any(|part| part == "..");
    let action = match rest.split(['/', '?']).next()? {
        "numbers" => "Go on and buy the number",
        "campaigns" => "Back to the campaign",
        _ => "Go on",
    };
    is_plain.then(|| NextPage { address: text.to_owned(), action })
}

#[cfg(test)]
mod tests {
    use super::next_page;

    #[test]
    fn only_a_page_of_the_wallet_is_led_back_to() {
        let next = next_page("/wallet", "/wallet/numbers/buy?phone_number=%2B12015551000");
        assert_eq!(next.expect("a page").action, "Go on and buy the number");
        for text in [
            "https://evil.example/wallet/numbers",
            "//evil.example/wallet/",
            "/walletx/numbers",
            "/wallet",
            "/wallet/../v1/accounts",
            "/wallet/numbers\r\nset-cookie: x",
            "/wallet/\\evil.example",
            "javascript:alert(1)",
        ] {
            assert_eq!(next_page("/wallet", text), None, "{text:?}");
        }
        assert_eq!(next_page("/wallet", &format!("/wallet/{}", "a".repeat(600))), None);
    }
}
