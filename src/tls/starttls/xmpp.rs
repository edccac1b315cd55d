//! XMPP (RFC 6120, section 5): a stream is opened, its features offer `<starttls/>`, the server says `<proceed/>`.
//!
//! Refuses to read XML: it looks for the elements by the names that all servers write.

use super::talk::{Talk, refused};
use crate::reason::Fault;

/// Where servers speak with servers.
const SERVERS: u16 = 5269;

pub(super) async fn ask(talk: &mut Talk<'_>, host: &str) -> Result<(), Fault> {
    let is_server = talk.stream.peer_addr().is_ok_and(|peer| peer.port() == SERVERS);
    talk.say(opening(host, is_server).as_bytes(), "the features of the stream").await?;
    let features = one_of(talk, &["stream:features", "stream:error"]).await?;
    if let Some(error) = start_of(&features, "stream:error") {
        return Err(talk.refusal(&features[error..]));
    }
    if start_of(&features, "starttls").is_none() {
        return Err(refused("the server does not offer STARTTLS"));
    }
    talk.say(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "the answer to STARTTLS").await?;
    let answer = one_of(talk, &["proceed", "failure", "stream:error"]).await?;
    element(&answer, "proceed").map(|_| ()).ok_or_else(|| talk.refusal(&answer))
}

fn opening(host: &str, is_server: bool) -> String {
    let host = host.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;");
    let role = if is_server { "server" } else { "client" };
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:{role}' \
         xmlns:stream='http://etherx.jabber.org/streams' to='{host}' version='1.0'>"
    )
}

/// What comes until one of these elements is complete.
async fn one_of(talk: &mut Talk<'_>, names: &[&str]) -> Result<Vec<u8>, Fault> {
    talk.until(|bytes| Ok(names.iter().filter_map(|name| element(bytes, name)).min())).await
}

/// Where this element ends, if it is complete.
fn element(bytes: &[u8], name: &str) -> Option<usize> {
    let start = start_of(bytes, name)?;
    let opened = start + find(&bytes[start..], b">")? + 1;
    if bytes[..opened].ends_with(b"/>") {
        return Some(opened);
    }
    let end = format!("</{name}>");
    Some(opened + find(&bytes[opened..], end.as_bytes())? + end.len())
}

/// Where this element begins.
fn start_of(bytes: &[u8], name: &str) -> Option<usize> {
    let start = format!("<{name}");
    let at = find(bytes, start.as_bytes())?;
    bytes.get(at + start.len()).filter(|next| b" \t\r\n/>".contains(next)).map(|_| at)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_end_where_they_end() {
        let text = b"<?xml version='1.0'?><stream:stream id='x'><stream:features><starttls xmlns='y'/></stream:features>!";
        assert_eq!(element(text, "stream:features"), Some(text.len() - 1));
        assert_eq!(element(&text[..text.len() - 2], "stream:features"), None);
        assert!(start_of(text, "starttls").is_some() && start_of(b"<starttlsx/>", "starttls").is_none());
        assert_eq!(element(b"<proceed xmlns='y' />", "proceed"), Some(21));
    }

    #[test]
    fn a_host_cannot_leave_its_place() {
        assert!(opening("a'/><b&", false).contains("to='a&apos;/>&lt;b&amp;' version"));
        assert!(opening("x", true).contains("jabber:server"));
    }
}
