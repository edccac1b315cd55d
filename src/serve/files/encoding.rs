//! `Accept-Encoding`: which ready-compressed forms of a file a client would rather have (RFC 9110, 12.5.3).

use hyper::header::{ACCEPT_ENCODING, HeaderMap};

/// A form in which a file may lie beside the plain one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Brotli,
    Gzip,
}

impl Encoding {
    /// As HTTP calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Encoding::Brotli => "br",
            Encoding::Gzip => "gzip",
        }
    }

    /// As the file is called.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Encoding::Brotli => ".br",
            Encoding::Gzip => ".gz",
        }
    }
}

/// The forms that the client likes no less than the plain one, best first; of equals, the smaller one.
pub(super) fn acceptable(headers: &HeaderMap) -> Vec<Encoding> {
    let (mut brotli, mut gzip, mut identity, mut any) = (None, None, None, None);
    for value in headers.get_all(ACCEPT_ENCODING) {
        for part in value.to_str().unwrap_or_default().split(',') {
            let (coding, quality) = part.split_once(';').map_or((part, 1.0), |(c, q)| (c, quality(q)));
            let slot = match coding.trim().to_ascii_lowercase().as_str() {
                "br" => &mut brotli,
                "gzip" | "x-gzip" => &mut gzip,
                "identity" => &mut identity,
                "*" => &mut any,
                _ => continue,
            };
            *slot = Some(quality);
        }
    }
    // What is not named counts as `*`; the plain form is fine unless it is excluded.
    let plain = identity.or(any.filter(|q| *q == 0.0)).unwrap_or(f32::MIN_POSITIVE);
    let mut forms: Vec<(f32, Encoding)> = [(brotli, Encoding::Brotli), (gzip, Encoding::Gzip)]
        .into_iter()
        .filter_map(|(quality, form)| Some((quality.or(any)?, form)))
        .filter(|(quality, _)| *quality > 0.0 && *quality >= plain)
        .collect();
    forms.sort_by(|a, b| b.0.total_cmp(&a.0));
    forms.into_iter().map(|(_, form)| form).collect()
}

/// `q=0.5`; nonsense counts as 0, so that nobody gets what he may not be able to read.
fn quality(text: &str) -> f32 {
    let weight = text.trim().strip_prefix("q=").or_else(|| text.trim().strip_prefix("Q="));
    weight.and_then(|q| q.trim().parse().ok()).filter(|q| (0.0..=1.0).contains(q)).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(accept: &str) -> Vec<&'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, accept.parse().unwrap());
        acceptable(&headers).into_iter().map(Encoding::name).collect()
    }

    #[test]
    fn weights() {
        assert_eq!(forms("gzip, deflate, br, zstd"), ["br", "gzip"]);
        assert_eq!(forms("br;q=0.5, gzip;q=0.8"), ["gzip", "br"]);
        assert_eq!(forms("gzip;q=0.5, identity"), [""; 0]);
        assert_eq!(forms("*"), ["br", "gzip"]);
        assert_eq!(forms("*;q=0, gzip"), ["gzip"]);
        assert_eq!(forms("br;q=0, *;q=0.1"), ["gzip"]);
        assert_eq!(forms("gzip;q=x, br;q=2"), [""; 0]);
        assert_eq!(forms("GZIP"), ["gzip"]);
        assert!(acceptable(&HeaderMap::new()).is_empty());
    }
}
