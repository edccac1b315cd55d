//! `hardy tls check`: what is wrong with it, and how is it mended?

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::report::Report;
use crate::address::Address;
use crate::app::App;
use crate::complete;
use crate::error::Error;
use crate::http::read_ca;
use crate::tls::chain::Roots;
use crate::tls::policy::Policy;
use crate::tls::session::Depth;
use crate::tls::target::{Endpoint, Place, Target};
use crate::tls::threshold::Threshold;
use crate::tls::{self, Plan};

/// Check certificates and TLS policy of endpoints and files
#[derive(clap::Args, Debug, Default)]
pub struct Args {
    /// HOST[:PORT], URL, file, or name in the config
    #[arg(value_name = "TARGET", add = complete::targets())]
    targets: Vec<String>,
    /// One connection: the certificate, and what was negotiated
    #[arg(long)]
    fast: bool,
    /// Trust these certificates too (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// Checks all of them.
pub async fn run(args: Args, app: &App) -> Result<Report, Error> {
    let targets = args.targets.iter().map(|text| target(text)).collect::<Result<_, _>>()?;
    let given = match &args.ca {
        Some(path) => read_ca(path).map_err(|error| Error::usage(error.to_string()))?,
        None => Vec::new(),
    };
    let plan = Plan {
        targets,
        policy: Policy::default(),
        roots: Roots { given, ..Roots::default() },
        at: Timestamp::now(),
        warn: Threshold::WARN,
        crit: Threshold::CRIT,
        depth: if args.fast { Depth::Fast } else { Depth::Full },
        timeout: Duration::from_secs(5),
        max_conns: 8,
        all_addresses: false,
        identity: None,
        password: None,
        file_name: None,
    };
    let stop = app.shutdown.token.child_token();
    Ok(Report::new(&tls::check(Arc::new(plan), None, stop).await))
}

fn target(text: &str) -> Result<Target, Error> {
    let endpoint = |host: String, port, starttls, http_path| {
        Place::Endpoint(Endpoint { host, port, server_name: None, starttls, http_path })
    };
    let place = match text.parse::<Address>() {
        Ok(Address::Tls { host, port, starttls }) => endpoint(host, port, starttls, None),
        Ok(Address::Http { url, socket: None }) => {
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            endpoint(host, url.port_or_known_default().unwrap_or(443), None, Some(url.path().to_owned()))
        }
        Ok(other) => return Err(Error::usage(format!("{text}: {} has no TLS to check", other.kind()))),
        Err(_) => match text.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
            Some((host, Ok(port))) => {
                endpoint(host.trim_matches(['[', ']']).to_owned(), port, None, Some("/".into()))
            }
            _ => Place::File(PathBuf::from(text)),
        },
    };
    Ok(Target { shown: text.to_owned(), place })
}
