//! Names that a certificate can be for.
//!
//! Refuses what no client would ever match, with the form that it expects.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use rcgen::SanType;
use rcgen::string::Ia5String;
use rustls::pki_types::DnsName;

/// A DNS name in lower case, a wildcard, or an IP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    text: String,
    address: Option<IpAddr>,
}

/// A text that is no such name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Neither a name nor an address.
    #[error("expected a DNS name, a wildcard such as *.app.test, or an IP address")]
    Form,
    /// Letters beyond ASCII.
    #[error("a certificate has the ASCII form of such a name, which begins with xn--")]
    Ascii,
    /// `*.test`: clients want two labels after the star.
    #[error("no client believes a wildcard with a single label after the star: expected *.app.test")]
    Wide,
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Name, NameError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Name { text: address.to_string(), address: Some(address) });
        }
        if !text.is_ascii() {
            return Err(NameError::Ascii);
        }
        let text = text.to_ascii_lowercase();
        let plain = text.strip_prefix("*.").unwrap_or(&text);
        // A certificate never has the dot of the root at the end.
        if plain.ends_with('.') || DnsName::try_from(plain).is_err() {
            return Err(NameError::Form);
        }
        if plain.len() < text.len() && !plain.contains('.') {
            return Err(NameError::Wide);
        }
        Ok(Name { text, address: None })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Name {
    /// The beginning of a file's name: with a word in place of the star, which shells would read.
    #[must_use]
    pub fn file_stem(&self) -> String {
        self.text.replace('*', "_wildcard")
    }

    /// Whether one can connect to it.
    #[must_use]
    pub fn is_host(&self) -> bool {
        !self.text.starts_with('*')
    }

    /// As it stands in a URL.
    #[must_use]
    pub fn in_url(&self) -> String {
        match self.address {
            Some(IpAddr::V6(address)) => format!("[{address}]"),
            _ => self.text.clone(),
        }
    }

    /// As it stands in a certificate.
    pub(super) fn san(&self) -> Result<SanType, rcgen::Error> {
        Ok(match self.address {
            Some(address) => SanType::IpAddress(address),
            None => SanType::DnsName(Ia5String::try_from(self.text.as_str())?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_wildcards_and_addresses() {
        let cases = [
            ("localhost", "localhost", "localhost"),
            ("App.TEST", "app.test", "app.test"),
            ("*.app.test", "*.app.test", "_wildcard.app.test"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
            ("::1", "::1", "::1"),
            ("0:0:0:0:0:0:0:1", "::1", "::1"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("my_service", "my_service", "my_service"),
        ];
        for (text, shown, stem) in cases {
            let name: Name = text.parse().unwrap();
            assert_eq!((name.to_string().as_str(), name.file_stem().as_str()), (shown, stem));
            assert_eq!(name.is_host(), !text.starts_with('*'));
        }
        assert_eq!("::1".parse::<Name>().unwrap().in_url(), "[::1]");
    }

    #[test]
    fn what_no_client_would_match_is_refused() {
        let error = |text: &str| text.parse::<Name>().unwrap_err();
        for text in
            ["", ".", "a..b", "-a", "a-", "a b", "https://a", "a:443", "[::1]", "1.2.3", "a/b", "../x"]
        {
            assert_eq!(error(text), NameError::Form, "{text}");
        }
        for text in ["a.test.", "*", "*.", "a.*.test", "*a.test", "**.app.test", "*.*.test", "a\nb", "a\0b"] {
            assert_eq!(error(text), NameError::Form, "{text}");
        }
        assert_eq!(error(&"a".repeat(64)), NameError::Form);
        assert_eq!(error(&["abcdefg"; 40].join(".")), NameError::Form);
        assert_eq!(error("*.test"), NameError::Wide);
        assert_eq!(error("bücher.example"), NameError::Ascii);
    }
}
