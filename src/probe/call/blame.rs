//! Whose fault a failed call is, by what is known besides its error: a proxy on the way, a client certificate
//! that the server asked for, a scheme that the port does not speak.
//!
//! Refuses to look at errors: that was done by `classify`.

use reqwest::Url;

use crate::http::{Asked, Phase};
use crate::reason::{Fault, Reason};

/// The circumstances of a failed call.
#[derive(Clone, Debug)]
pub struct Scene {
    /// How far it came.
    pub phase: Phase,
    /// The proxy on its way.
    pub proxy: Option<String>,
    /// The server asked for a client certificate, and got none.
    pub asked: bool,
}

/// The fault with its true reason.
pub fn blame(fault: Fault, scene: &Scene) -> Fault {
    use Reason::{Closed, ConnectReset, HttpProtocol, TlsClientCertificate, TlsHandshake};
    let on_the_way = matches!(scene.phase, Phase::Dns | Phase::Connect) || fault.reason == Reason::Proxy;
    let Fault { reason, detail } = fault;
    match &scene.proxy {
        Some(proxy) if on_the_way && !reason.is_local() => {
            return Reason::Proxy.because(format!("the proxy {proxy}: {detail}"));
        }
        _ => {}
    }
    let after_asking = matches!(scene.phase, Phase::Tls | Phase::FirstByte);
    // The server's alert says so itself where it arrives before the end of its connection.
    let hung_up =
        matches!(reason, Closed | ConnectReset | HttpProtocol | TlsHandshake | TlsClientCertificate);
    if scene.asked && after_asking && hung_up {
        let detail = format!("the server asked for a client certificate and got none: {detail}");
        return TlsClientCertificate.because(detail);
    }
    reason.because(detail)
}

/// What to add about a status of 400: servers say in its body that their port speaks TLS, each in its own words.
pub fn wants_tls(body: &[u8], url: &Url) -> String {
    let text = String::from_utf8_lossy(body).to_lowercase();
    let said = ["to https port", "to an https server", "ssl-enabled server"].iter().any(|w| text.contains(w));
    if said { format!("; it speaks TLS: try {}", with_scheme(url, "https")) } else { String::new() }
}

/// What to add about a status by which servers refuse who shows no certificate, when they let everybody in before they look.
pub fn wants_certificate(status: u16, asked: &Asked) -> &'static str {
    match status {
        400 | 401 | 403 if asked.in_vain() => "; the server asked for a client certificate and got none",
        _ => "",
    }
}

/// The same address under another scheme, for a hint; without user and password.
pub fn with_scheme(url: &Url, scheme: &str) -> String {
    let port = url.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{scheme}://{}{port}{}", url.host_str().unwrap_or_default(), url.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(phase: Phase, proxy: Option<&str>, asked: bool) -> Scene {
        Scene { phase, proxy: proxy.map(str::to_owned), asked }
    }

    #[test]
    fn a_proxy_is_to_blame_until_the_tunnel_stands() {
        let blamed =
            |reason: Reason, phase| blame(reason.because("x"), &scene(phase, Some("http://p:1/"), false));
        let named = Reason::Proxy.because("the proxy http://p:1/: x");
        assert_eq!(blamed(Reason::ConnectRefused, Phase::Connect), named);
        assert_eq!(blamed(Reason::Dns, Phase::Dns), named);
        assert_eq!(blamed(Reason::Proxy, Phase::FirstByte), named);
        assert_eq!(blamed(Reason::TlsHandshake, Phase::Tls).reason, Reason::TlsHandshake);
        assert_eq!(blamed(Reason::LocalDescriptors, Phase::Connect).reason, Reason::LocalDescriptors);
    }

    #[test]
    fn a_certificate_that_was_asked_for_is_why_the_server_hung_up() {
        let blamed =
            |reason: Reason, phase, asked| blame(reason.because("x"), &scene(phase, None, asked)).reason;
        for reason in [Reason::Closed, Reason::ConnectReset, Reason::HttpProtocol, Reason::TlsHandshake] {
            assert_eq!(blamed(reason, Phase::FirstByte, true), Reason::TlsClientCertificate);
            assert_eq!(blamed(reason, Phase::FirstByte, false), reason);
            assert_eq!(blamed(reason, Phase::Body, true), reason);
        }
        let fault = Reason::TlsClientCertificate.because("received fatal alert: CertificateRequired");
        let said = "the server asked for a client certificate and got none: received fatal alert: CertificateRequired";
        let named = Reason::TlsClientCertificate.because(said);
        assert_eq!(blame(fault, &scene(Phase::FirstByte, None, true)), named);
        assert_eq!(blamed(Reason::TlsCertificateExpired, Phase::Tls, true), Reason::TlsCertificateExpired);
    }

    #[test]
    fn servers_say_that_they_speak_tls_each_in_its_own_words() {
        let url: Url = "http://me:secret@h:8443/x".parse().unwrap();
        for body in [
            "<center>The plain HTTP request was sent to HTTPS port</center>",
            "Client sent an HTTP request to an HTTPS server.\n",
            "Reason: You're speaking plain HTTP to an SSL-enabled server port.",
        ] {
            let hint = wants_tls(body.as_bytes(), &url);
            assert_eq!(hint, "; it speaks TLS: try https://h:8443/x", "{body}");
        }
        assert_eq!(wants_tls(b"Bad Request", &url), "");
    }
}
