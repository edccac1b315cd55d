//! `hardy probe`: is it up, why not, and what does its breaker say?

mod human;
mod metrics;
mod nagios;
mod report;
mod run;
mod settings;
mod short;
mod targets;
mod tell;

use bytes::Bytes;
use regex::Regex;
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};

use crate::app::App;
use crate::complete;
use crate::config::{self, BreakerKnobs, Config, ProbeKnobs};
use crate::error::Error;
use crate::exit::Exit;
use crate::http::Family;
use crate::probe::Override;
use crate::probe::expect::{self, HeaderMatch, JsonMatch, StatusRange};
use crate::tls::threshold::Threshold;
use crate::units::Duration;

use crate::cmd::breakers::SharedArgs;
use crate::cmd::names::Names;
use report::Report;
use settings::{Goal, Settings, check_proxies};

/// Call targets through a circuit breaker, and say what is up
#[derive(clap::Args, Debug, Default)]
#[command(after_long_help = "\
Examples:
  hardy probe https://api.example/health --expect-json '$.status=up' --within 300ms
  hardy probe api db                              # [targets.api] and [targets.db] of hardy.toml
  hardy probe --until up --wait 2m                # in a pipeline: all targets of hardy.toml
  hardy probe http://127.0.0.1:8080 --count 60 --interval 200ms --json
  hardy probe tcp://db:5432 unix+http:///run/app.sock:/health 'exec:pg_isready -q'
  hardy probe tls://ldap.example:636 tls+smtp://mail.example --expect-cert-life 14d
  hardy probe api --watch --fallback 'systemctl restart api'
  hardy probe --watch --webhook https://hooks.example/T0/B1 --listen :9116
  hardy probe 'dns://10.0.0.2/api.example?type=A' --expect-answer 10.0.0.7
  hardy probe redis://cache postgres://db/shop grpc://cart:50051 --until up
  hardy probe api --breaker pay --watch           # the breaker of all who name it, as `hardy breaker run pay` does
  hardy probe udp://game:27015 --send '\\xff\\xff\\xff\\xffgetinfo' --expect-body-regex hostname

Targets:
  http://HOST[:PORT]/PATH, https://  the status and what else is expected; h2c:// speaks HTTP/2 at once
  unix+http:///SOCKET[:/PATH]        the same over a socket file
  ws://HOST[:PORT]/PATH, wss://      agrees to become a WebSocket
  grpc://HOST:PORT[/SERVICE], grpcs://  the health service says SERVING; ?watch asks it by Watch, not Check
  tcp://HOST:PORT, udp://HOST:PORT   a connection; with --send and --expect-body an answer, which udp needs
  tls://HOST[:PORT]                  the handshake is complete, the certificate believed; --expect-cert-life
  tls+smtp://HOST[:PORT]             the same after STARTTLS; also imap, pop3, ftp, ldap, postgres, mysql, xmpp
  dns://[SERVER[:PORT]]/NAME         the server, or those of the system, know ?type=A (or MX ...); &transport=tcp
                                     (names are absolute: no search list is used)
  icmp://HOST                        echoes; needs net.ipv4.ping_group_range or CAP_NET_RAW
  etcd://HOST[:2379], etcds://       this member is healthy: a leader, a quorum, no alarm
  redis://[USER@]HOST[:6379], rediss://  answers PING; --expect-answer master, slave or connected
  postgres://[USER@]HOST[:5432][/DB] accepts log-ins; with a password SELECT 1 succeeds
                                     (SCRAM-SHA-256 only); TLS: ?sslmode=require, verify-full
  mysql://[USER@]HOST[:3306]         MySQL or MariaDB accepts log-ins, with a password that of USER;
                                     TLS: ?ssl-mode=REQUIRED, VERIFY_IDENTITY
  exec:COMMAND                       ends with status 0; run by `sh -c`

States:
  up        it answers as expected
  degraded  up, but recent calls failed or were slow, or the breaker is not closed
  down      it does not answer as expected
  unknown   not tested (often enough), or the last test failed for a reason of this host (local.*)
  flapping  of a watch: the state has changed 8 times (--flap-changes) in 5 minutes (--flap-window); until fewer than
            half as many are left there, no single change is told

Shared breaker:
  With --breaker, or `breaker = \"NAME\"` of a target in the config, each call asks that breaker of the store, and is reported
  to it; the settings above are this caller's, as of `hardy breaker run`. In the report its state, window and transitions are
  those of all who share it. A probe of which it let no call through ends with 75. With --until and --no-breaker it is told of
  the calls, and neither asked nor tripped. Without an answer of the store calls are made, uncounted, and stderr says so.")]
pub struct Args {
    // First, because those that follow take what it looks at.
    #[command(flatten)]
    names: Names,
    /// URL (http tcp dns grpc ... exec) or name in the config [default: all of the config]
    ///
    /// The kinds of targets are listed at the end.
    #[arg(value_name = "TARGET", add = complete::targets())]
    targets: Vec<String>,
    /// Go on until all targets are up, or down
    ///
    /// A degraded target counts as up unless --fail-on degraded. The breaker counts, but lets every call through.
    /// Ends with 0, or with 124 when --wait, or the rounds of a --count, run out before.
    #[arg(long, value_name = "STATE", hide_possible_values = true)]
    until: Option<Goal>,
    /// Go on until interrupted; with --json a document per round
    ///
    /// A live table on a terminal, with the last changes beneath; elsewhere a line per change. With --json a document per
    /// round, whose `end` is null, and one at the end, whose `end` says why.
    #[arg(long, conflicts_with = "until")]
    watch: bool,
    /// One line and the exit codes of a Nagios plugin
    ///
    /// 0 all up, 1 a target is degraded, 2 one is down (or degraded, with --fail-on degraded), 3 one is unknown, or the probe
    /// could not be made. The perfdata has each target's last latency.
    #[arg(long, conflicts_with_all = ["until", "watch"], hide_short_help = true)]
    nagios: bool,
    #[command(flatten)]
    rounds: ProbeKnobs,
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    expect: ExpectArgs,
    #[command(flatten)]
    breaker: BreakerKnobs,
    #[command(flatten)]
    shared: SharedArgs,
    /// Let the breaker count, but never trip; so does --until
    #[arg(long, help_heading = "Circuit breaker")]
    no_breaker: bool,
}

/// What is sent, to every target of this run.
#[derive(clap::Args, Debug, Default)]
#[command(next_help_heading = "Request")]
struct RequestArgs {
    /// HTTP method [default: GET, or POST with --body]
    #[arg(long, short = 'X', value_name = "NAME", value_parser = targets::method, hide_short_help = true)]
    method: Option<Method>,
    /// Request header [repeatable]
    #[arg(long, short = 'H', value_name = "NAME: VALUE", value_parser = typed_header)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// Request body
    #[arg(long, value_name = "TEXT", hide_short_help = true)]
    body: Option<String>,
    /// What is sent to tcp and udp targets; \r \n \t \0 \\ and \xHH stand for bytes
    #[arg(long, value_name = "TEXT", value_parser = targets::bytes, hide_short_help = true)]
    send: Option<Bytes>,
    /// Connect to IPv4 addresses only
    #[arg(long, short = '4', conflicts_with = "ipv6", hide_short_help = true)]
    ipv4: bool,
    /// Connect to IPv6 addresses only
    #[arg(long, short = '6', hide_short_help = true)]
    ipv6: bool,
    /// Believe any certificate
    #[arg(long, display_order = 901)]
    insecure: bool,
    /// Use this address for that name and port, as curl does [repeatable]
    #[arg(long, value_name = "HOST:PORT:ADDR", hide_short_help = true)]
    resolve: Vec<Override>,
}

impl RequestArgs {
    fn family(&self) -> Option<Family> {
        match (self.ipv4, self.ipv6) {
            (true, _) => Some(Family::Ipv4),
            (false, true) => Some(Family::Ipv6),
            (false, false) => None,
        }
    }
}

/// What must come back, from every target of this run.
#[derive(clap::Args, Debug, Default)]
#[command(next_help_heading = "Expectations")]
struct ExpectArgs {
    /// Status: 200, 2xx or 200-204 [default: 200-399]
    ///
    /// Repeatable, or several separated by commas. Of a command it is the exit status, 0 by default.
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    expect_status: Vec<StatusRange>,
    /// Header: NAME, NAME: VALUE or NAME: /REGEX/ [repeatable]
    #[arg(long, hide_short_help = true, value_name = "HEADER")]
    expect_header: Vec<HeaderMatch>,
    /// Text in the body, or in the answer to --send
    #[arg(long, visible_alias = "expect", value_name = "TEXT")]
    expect_body: Option<String>,
    /// Pattern that the body matches
    #[arg(long, hide_short_help = true, value_name = "REGEX", value_parser = expect::regex)]
    expect_body_regex: Option<Regex>,
    /// JSON path that finds this value, or anything
    ///
    /// RFC 9535, as in '$.status=up' or '$.items[0]'. The value is JSON, or else a text. Repeatable.
    #[arg(long, value_name = "PATH[=VALUE]")]
    expect_json: Vec<JsonMatch>,
    /// Record of a dns target, or role of a redis or postgres one [repeatable]
    #[arg(long, hide_short_help = true, value_name = "ANSWER")]
    expect_answer: Vec<String>,
    /// Longest time until the answer is complete
    #[arg(long, value_name = "D")]
    within: Option<Duration>,
    /// What must be left of the certificate: a time, or a share of its life
    ///
    /// As 14d or 15%. Of https, wss, tls, grpcs, etcds and rediss targets, of postgres and mysql ones with TLS, and of http
    /// ones whose redirects lead there.
    #[arg(long, hide_short_help = true, value_name = "D|P%")]
    expect_cert_life: Option<Threshold>,
}

fn typed_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("expected NAME: VALUE")?;
    targets::header(name, value)
}

/// Whether every target and all settings of the config can be used, as a run without flags would.
///
/// # Errors
/// The first that cannot, by its key.
pub fn check(config: &Config) -> Result<(), Error> {
    let args = Args::default();
    targets::check_breaker(&args, config)?;
    let targets = targets::all(&args, config)?;
    Settings::with(args, targets, config).map(drop)
}

/// Probes the targets to the end of the run, shown while it goes on.
pub async fn run(args: Args, app: &App) -> Result<Report, Error> {
    let nagios = args.nagios;
    match probe(args, app).await {
        Err(error) if nagios => {
            app.console.emit_text(&nagios::unable(&error))?;
            Err(error.with_exit(Exit::UNKNOWN))
        }
        done => done,
    }
}

async fn probe(args: Args, app: &App) -> Result<Report, Error> {
    let settings = Settings::resolve(args, &app.config)?;
    check_proxies(&settings.plan.targets, &config::proxy_variables())?;
    run::run(&settings, app).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    /// What `check` says of a config file with this text.
    fn checked(text: &str) -> Result<(), String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let source = Source { path: Some(file.path().to_owned()), profile: None };
        check(&Config::load(&source).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_broken_target_or_setting_is_named_by_its_key() {
        let http = |rest: &str| format!("[targets.api]\nurl = \"http://h\"\n{rest}");
        let cases = [
            ("[targets.api]\nurl = \"ftp://x\"".to_owned(), "targets.api.url: "),
            ("[targets.api]\nurl = \"api\"".to_owned(), "targets.api.url: api has no scheme"),
            (http("method = \"a b\""), "targets.api.method: "),
            (http("headers = { \"a b\" = \"x\" }"), "targets.api.headers: \"a b\" is no header name"),
            (http("expect = { body_regex = \"(\" }"), "targets.api.expect.body_regex: "),
            (http("expect = { json = { \"$.[\" = 1 } }"), "targets.api.expect.json: "),
            (http("expect = { json_has = [\"x\"] }"), "targets.api.expect.json_has: "),
            (http("expect = { header = { \"a b\" = \"\" } }"), "targets.api.expect.header: "),
            (http("expect = { status = [\"abc\"] }"), "targets.api.expect.status: "),
            (
                http("expect = { cert_life = \"soon\" }"),
                "targets.api.expect.cert_life: \"soon\" is neither a time such as 30d",
            ),
            (
                http("expect = { cert_life = \"14d\" }"),
                "targets.api.expect.cert_life: api cannot be as expected: a http target has no certificate",
            ),
            (http("expect = { status = [700] }"), "targets.api.expect.status: api cannot be"),
            (
                http("expect = { within = \"1s\" }"),
                "targets.api.expect.within (1s) must be shorter than breaker.timeout",
            ),
            (http("timeout = \"0s\""), "targets.api.timeout must be at least 1ms, not 0s"),
            (
                "[targets.db]\nurl = \"redis://h\"\nexpect = { body = \"x\" }".to_owned(),
                "targets.db.expect.body: db cannot be as expected: a redis target has no body",
            ),
            (
                "[targets.db]\nurl = \"tcp://h:1\"\nmethod = \"PUT\"".to_owned(),
                "targets.db.method: a tcp target sends no request",
            ),
            (
                "[targets.db]\nurl = \"redis://a:b@h\"".to_owned(),
                "targets.db.url: redis://a:(redacted)@h: a password",
            ),
            (
                "[targets.db]\nurl = \"redis://h\"\npassword_file = \"/nonexistent\"".to_owned(),
                "targets.db.password_file: cannot read /nonexistent",
            ),
            (
                "[targets.db]\nurl = \"postgres://h\"\npassword_file = \"/dev/null\"".to_owned(),
                "targets.db.password_file: nobody logs in with it: name the user in postgres://USER@HOST",
            ),
            (
                "[targets.db]\nurl = \"etcd://h\"\npassword_file = \"/dev/null\"".to_owned(),
                "targets.db.password_file: a etcd target takes no password",
            ),
            (
                "[targets.db]\nurl = \"mysql://h\"\npassword_file = \"/dev/null\"".to_owned(),
                "targets.db.password_file: nobody logs in with it: name the user in mysql://USER@HOST",
            ),
            (
                "[targets.db]\nurl = \"icmp://h\"\nexpect = { answer = [\"x\"] }".to_owned(),
                "targets.db.expect.answer: db cannot be as expected: a icmp target has no answers",
            ),
            (
                "[targets.db]\nurl = \"udp://h:1\"".to_owned(),
                "targets.db.send: db cannot be as expected: a udp target answers only to what is sent",
            ),
            (
                "[targets.db]\nurl = \"grpc://h:1\"\nsend = \"x\"".to_owned(),
                "targets.db.send: db cannot be as expected: a grpc target has its own words",
            ),
            ("[profile.default.probe]\ncert = \"/nonexistent\"".to_owned(), "probe.cert and probe.key"),
            ("[profile.default.probe]\ncount = 0".to_owned(), "probe.count must be at least 1, not 0"),
            ("[profile.default.probe]\ninterval = \"0s\"".to_owned(), "probe.interval must be at least 1ms"),
            ("[profile.default.probe]\nca = \"/nonexistent\"".to_owned(), "probe.ca"),
            (
                "[profile.default.breaker]\nerror_threshold = \"12.5%\"".to_owned(),
                "breaker.error_threshold must be a whole percentage",
            ),
            (
                "[profile.default.breaker]\ntimeout = \"0s\"".to_owned(),
                "breaker.timeout must be at least 1ms, not 0s",
            ),
        ];
        for (text, error) in cases {
            let found = checked(&text).unwrap_err();
            assert!(found.starts_with(error) && !found.contains("--"), "{text}: {found}");
        }
    }

    #[test]
    fn a_good_config_and_an_empty_one_pass() {
        assert_eq!(checked(""), Ok(()));
        let good = "[targets.api]\nurl = \"HTTPS://h\"\nexpect = { status = [200], within = \"300ms\" }";
        assert_eq!(checked(good), Ok(()));
        let kinds = [
            "grpcs://h:1/s?watch",
            "etcd://h",
            "postgres://h/x",
            "mysql://h",
            "icmp://h",
            "wss://h/x",
            "h2c://h",
        ];
        for url in kinds {
            assert_eq!(checked(&format!("[targets.a]\nurl = \"{url}\"")), Ok(()), "{url}");
        }
        let more = "[targets.a]\nurl = \"dns:///h?type=MX\"\nexpect = { answer = [\"10 mx.h\"] }\n\
                    [targets.b]\nurl = \"udp://h:1\"\nsend = \"ping\"\nexpect = { body = \"pong\" }\n\
                    [targets.c]\nurl = \"redis://me@h\"\npassword_file = \"/dev/null\"";
        assert_eq!(checked(more), Ok(()));
    }
}
