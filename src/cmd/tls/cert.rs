//! `hardy tls cert`: a certificate for development, from an authority of one's own.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::app::App;
use crate::config;
use crate::error::Error;
use crate::exit::{Exit, Verdict};
use crate::output::{self, Human, Table, Tone, printable};
use crate::text::quoted;
use crate::tls::authority::{
    Authority, AuthorityError, Files, Issued, Name, PlaceError, Purpose, SHORTEST_LIFE, place,
};
use crate::units;

const DAY: Duration = Duration::from_secs(86_400);
/// As long as public authorities used to give, and Mozilla's guidelines allow.
const USUAL_LIFE: Duration = DAY.saturating_mul(90);

/// Make a certificate for development
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  hardy tls cert localhost 127.0.0.1 ::1                  # ./localhost.pem and ./localhost-key.pem
  hardy serve --tls-cert localhost.pem --tls-key localhost-key.pem
  hardy tls cert app.test '*.app.test' --valid 7d --out /etc/app
  hardy tls cert --client alice --cert alice.pem --key alice-key.pem
  hardy tls cert --print-ca > ca.pem                      # what others have to trust

The certificates come from a development authority, which is made when it is first needed and kept in the state directory
(/var/lib/hardy for root, $XDG_STATE_HOME/hardy for others), for this user alone. Whoever trusts it believes every certificate
that it issues: trust it where you develop, and nowhere else. It is never replaced; move its directory away for a new one.")]
pub struct Args {
    /// DNS name, wildcard such as *.app.test, or IP address
    #[arg(value_name = "NAME", required_unless_present = "print_ca")]
    names: Vec<Name>,
    /// Directory for NAME.pem and NAME-key.pem, of the first name [default: .]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath, conflicts_with = "cert")]
    out: Option<PathBuf>,
    /// File for the certificate
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, requires = "key")]
    cert: Option<PathBuf>,
    /// File for its key, readable by you alone
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, requires = "cert")]
    key: Option<PathBuf>,
    /// How long it is valid, at most as long as its authority [default: 90d]
    #[arg(long, value_name = "D")]
    valid: Option<units::Duration>,
    /// The same as a number of days
    #[arg(long, value_name = "N", conflicts_with = "valid")]
    days: Option<u32>,
    /// For a client that shows it to servers
    #[arg(long)]
    client: bool,
    /// Replace certificate and key where they exist, but never the authority
    #[arg(long)]
    force: bool,
    /// Print the certificate of the authority as PEM, and do nothing else
    #[arg(long, conflicts_with_all = ["names", "out", "cert", "key", "valid", "days", "client", "force"])]
    print_ca: bool,
    /// Directory of this host's state
    #[arg(long, value_name = "DIR", env = "HARDY_STORE_DIRECTORY", hide_short_help = true)]
    store_dir: Option<PathBuf>,
}

/// What was made.
#[derive(Serialize, JsonSchema)]
struct Report {
    /// What it is for.
    names: Vec<String>,
    /// Servers show it, or clients do.
    purpose: &'static str,
    /// The file of the certificate.
    certificate: String,
    /// The file of its key.
    key: String,
    /// The file with the certificate of the authority: what others have to trust.
    ca: String,
    /// What the authority calls itself.
    ca_name: String,
    /// The authority was made, too.
    ca_is_new: bool,
    /// Its last second; RFC 3339, UTC.
    not_after: String,
    /// SHA-256 of its DER form, in hexadecimal.
    sha256: String,
    /// It ends earlier than asked for, with its authority.
    #[serde(skip)]
    is_cut: bool,
    /// A URL that it is good for.
    #[serde(skip)]
    url: Option<String>,
}

/// Makes it, or prints the authority.
pub fn dispatch(args: &Args, app: &App) -> Result<Exit, Error> {
    if args.print_ca && app.console.is_json() {
        return Err(Error::usage("--print-ca prints PEM, not JSON")
            .hint("the JSON of a certificate has the file of its authority: .data.ca"));
    }
    let now = Timestamp::now();
    let valid = valid(args)?;
    let authority = Authority::open(&state(args, app)?, &maker(), now).map_err(explained)?;
    if args.print_ca {
        return app.console.emit_text(&authority.pem);
    }
    let purpose = if args.client { Purpose::Client } else { Purpose::Server };
    let names = each_once(&args.names);
    let issued = authority.issue(&names, purpose, valid, now).map_err(explained)?;
    let files = files(args);
    place(&files, &issued, args.force).map_err(refused)?;
    app.finish(&Report::new(args, &names, &authority, &files, &issued))
}

fn each_once(names: &[Name]) -> Vec<Name> {
    let is_first = |(place, name): &(usize, &Name)| !names[..*place].contains(name);
    names.iter().enumerate().filter(is_first).map(|(_, name)| name.clone()).collect()
}

fn valid(args: &Args) -> Result<Duration, Error> {
    let asked = args.valid.map(|valid| valid.0).or(args.days.map(|days| DAY.saturating_mul(days)));
    match asked.unwrap_or(USUAL_LIFE) {
        short if short < SHORTEST_LIFE => {
            let least = units::Duration(SHORTEST_LIFE);
            Err(Error::usage(format!("a certificate is valid for at least {least}")))
        }
        long => Ok(long),
    }
}

fn state(args: &Args, app: &App) -> Result<PathBuf, Error> {
    let given = args.store_dir.clone().or_else(|| app.config.profile.store.directory.clone());
    given.map_or_else(config::state_directory, Ok)
}

/// Who makes an authority, and where.
fn maker() -> String {
    let user = config::user().unwrap_or_else(|| format!("uid{}", rustix::process::geteuid().as_raw()));
    format!("{user}@{}", rustix::system::uname().nodename().to_string_lossy())
}

fn files(args: &Args) -> Files {
    if let (Some(certificate), Some(key)) = (&args.cert, &args.key) {
        return Files { certificate: certificate.clone(), key: key.clone() };
    }
    let directory = args.out.as_deref().unwrap_or(Path::new("."));
    let stem = args.names.first().map(Name::file_stem).unwrap_or_default();
    Files {
        certificate: directory.join(format!("{stem}.pem")),
        key: directory.join(format!("{stem}-key.pem")),
    }
}

fn explained(error: AuthorityError) -> Error {
    let hint = match &error {
        AuthorityError::Damaged { directory, .. } | AuthorityError::Expired { directory, .. } => {
            Some(format!(
                "move {} away to have a new one made, which everybody has to trust anew",
                shown(directory)
            ))
        }
        AuthorityError::Exposed { directory, .. } => Some(format!(
            "`chmod -R go= {}` if nobody else has used it, or else move it away",
            shown(directory)
        )),
        AuthorityError::NotYet { .. } => Some("set the clock of this host".to_owned()),
        AuthorityError::Io { .. } => {
            Some("give a directory of your own with --store-dir or HARDY_STORE_DIRECTORY".to_owned())
        }
        AuthorityError::Make(_) => None,
    };
    because(error, hint)
}

fn refused(error: PlaceError) -> Error {
    match &error {
        PlaceError::Exists(_) => Error::usage(error.to_string())
            .hint("choose other files with --out, or with --cert and --key; or replace both with --force"),
        PlaceError::Same(_) | PlaceError::NoFile(_) => Error::usage(error.to_string()),
        PlaceError::Write(..) => {
            because(error, Some("check that the directory exists, is writable and has space".to_owned()))
        }
    }
}

/// The error in its parts.
fn because(error: impl std::error::Error, hint: Option<String>) -> Error {
    let told = Error::unknown(error.to_string());
    let told = match error.source() {
        Some(source) => told.because(source.to_string()),
        None => told,
    };
    match hint {
        Some(hint) => told.hint(hint),
        None => told,
    }
}

/// A path for a shell.
fn shown(path: &Path) -> String {
    printable(&String::from_utf8_lossy(&quoted(path.as_os_str().as_bytes())))
}

impl Report {
    fn new(args: &Args, names: &[Name], authority: &Authority, files: &Files, issued: &Issued) -> Report {
        let host = names.iter().find(|name| name.is_host());
        Report {
            names: names.iter().map(Name::to_string).collect(),
            purpose: if args.client { "client" } else { "server" },
            certificate: files.certificate.display().to_string(),
            key: files.key.display().to_string(),
            ca: authority.path.display().to_string(),
            ca_name: authority.name.clone(),
            ca_is_new: authority.is_new,
            not_after: issued.life.not_after.to_string(),
            sha256: issued.sha256.clone(),
            is_cut: issued.life.not_after == authority.life.not_after,
            url: host.map(|name| format!("https://{}:8443", name.in_url())),
        }
    }

    /// Commands to go on with; never wrapped, so that they can be copied.
    fn next(&self) -> Vec<String> {
        let [certificate, key, ca] =
            [&self.certificate, &self.key, &self.ca].map(|path| shown(Path::new(path)));
        let url = self.url.as_deref().unwrap_or("https://HOST:8443");
        if self.purpose == "client" {
            return vec![
                format!("curl --cert {certificate} --key {key} https://HOST"),
                format!("hardy serve --tls self-signed --tls-client-ca {ca}"),
            ];
        }
        vec![
            format!("hardy serve --tls-cert {certificate} --tls-key {key}"),
            format!("hardy probe --ca {ca} {url}"),
            format!("curl --cacert {ca} {url}"),
            format!("SSL_CERT_FILE={ca} COMMAND"),
        ]
    }
}

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.tls.cert/v1";

    fn verdict(&self) -> Verdict {
        Verdict::Good
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        let made = if self.ca_is_new { ", made just now" } else { "" };
        let mut table = Table::new(&[]);
        table.row(["certificate", &self.certificate]);
        table.row(["key", &self.key]);
        table.row(["for", &format!("{} ({})", self.names.join(", "), self.purpose)]);
        table.row([
            "until",
            &format!("{}{}", self.not_after, if self.is_cut { ", as its authority" } else { "" }),
        ]);
        table.row(["SHA-256", &self.sha256]);
        table.row(["issued by", &format!("{}{made}", self.ca_name)]);
        out.table(table)?;
        out.line("")?;
        for command in self.next() {
            let command = out.tone(Tone::Strong, &command);
            out.line(format!("  {command}"))?;
        }
        let others = out.tone(Tone::Faint, "others trust what `hardy tls cert --print-ca` prints");
        out.line(format!("\n{others}"))
    }
}
