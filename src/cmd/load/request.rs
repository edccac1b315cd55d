//! What is sent, from what was typed and configured.

use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use reqwest::Url;

use crate::error::Error;
use crate::load::request::{Request, Requests};

/// What is sent.
#[derive(clap::Args, Debug, Default)]
#[command(next_help_heading = "Request")]
pub struct RequestArgs {}

/// The requests of a run against this URL.
pub fn requests(_args: &RequestArgs, url: &Url) -> Result<Requests, Error> {
    let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let host = match (url.host_str().unwrap_or_default(), url.port()) {
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_owned(),
    };
    let host = HeaderValue::from_str(&host).map_err(|e| Error::usage("the host is no header").because(e))?;
    let headers = vec![(HeaderName::from_static("host"), host)];
    Ok(Requests::one(Request { method: Method::GET, path, headers, body: Vec::new() }))
}
