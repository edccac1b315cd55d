//! Which proxy a request goes through: by the very rules that reqwest follows, so that a failed call can name it.
//!
//! Refuses to decide anything: reqwest reads the environment itself.

use std::fmt;
use std::sync::Arc;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

/// The proxies of the environment; without any by default. Cheap to clone.
#[derive(Clone, Default)]
pub struct Proxies(Option<Arc<Matcher>>);

impl Proxies {
    /// Those that reqwest goes through.
    #[must_use]
    pub fn of_the_system() -> Self {
        Proxies(Some(Arc::new(Matcher::from_system())))
    }

    /// The address of the proxy on the way to `url`, without user and password.
    #[must_use]
    pub fn towards(&self, url: &Url) -> Option<String> {
        let proxy = self.0.as_ref()?.intercept(&url.as_str().parse().ok()?)?;
        Some(proxy.uri().to_string().trim_end_matches('/').to_owned())
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The rules may hold passwords.
        f.write_str("Proxies")
    }
}

/// Is the value of a variable such as `http_proxy` the address of a proxy? reqwest ignores it otherwise.
#[must_use]
pub fn is_proxy(value: &str) -> bool {
    let matcher = Matcher::builder().all(value).build();
    matcher.intercept(&hyper::Uri::from_static("http://any.example/")).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_proxy_is_told_apart() {
        for good in ["http://127.0.0.1:1", "proxy:3128", "socks5://u:p@h:1080", "https://p"] {
            assert!(is_proxy(good), "{good}");
        }
        for bad in ["not a url", "ftp://x", "http://"] {
            assert!(!is_proxy(bad), "{bad}");
        }
    }

    #[test]
    fn a_proxy_is_named_without_its_password() {
        let matcher = Matcher::builder().https("http://u:p@h:3128").no("inside.example").build();
        let proxies = Proxies(Some(Arc::new(matcher)));
        let towards = |url: &str| proxies.towards(&url.parse().unwrap());
        assert_eq!(towards("https://a.example/x").as_deref(), Some("http://h:3128"));
        assert_eq!((towards("http://a.example/"), towards("https://inside.example/")), (None, None));
        assert_eq!(Proxies::default().towards(&"https://a.example".parse().unwrap()), None);
    }
}
