//! From what was typed and configured to what the server is told. Nothing is opened or bound here; whatever is
//! wrong is called by the name under which it was set.

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::str::FromStr;

use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches};

use crate::config::{Config, Layer, ServeKnobs, need};
use crate::error::Error;
use crate::serve::{AccessLog, Content, Drain, Limits, Settings, fault, tls};

/// The knobs of the command line over those of the environment, which the parser makes one of.
#[derive(Debug)]
pub(super) struct Typed(pub(super) ServeKnobs);

impl clap::Args for Typed {
    fn augment_args(command: clap::Command) -> clap::Command {
        ServeKnobs::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        ServeKnobs::augment_args_for_update(command)
    }
}

impl FromArgMatches for Typed {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let (mut flags, mut variables) =
            (ServeKnobs::from_arg_matches(matches)?, ServeKnobs::from_arg_matches(matches)?);
        // Only a knob that hides others must be known by its place.
        macro_rules! part {
            ($($knob:ident),*) => {$(
                match matches.value_source(stringify!($knob)) {
                    Some(ValueSource::CommandLine) => variables.$knob = None,
                    _ => flags.$knob = None,
                }
            )*};
        }
        part!(respond, echo, dir, tls, tls_cert, tls_key);
        Ok(Typed(flags.or(variables)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Resolves the settings of a profile as a run without flags would; no file is opened, nothing is bound.
pub fn check(config: &Config) -> Result<(), Error> {
    let nowhere = || Box::new(io::sink()) as Box<dyn Write + Send>;
    resolve(ServeKnobs::default(), &config.profile.serve, nowhere).map(|_| ())
}

/// How a knob is called by whoever set it: the flag, or the key of a profile.
#[derive(Clone, Copy)]
struct Name {
    knob: &'static str,
    typed: bool,
}

macro_rules! name {
    ($typed:ident.$knob:ident) => {
        Name { knob: stringify!($knob), typed: $typed.$knob.is_some() }
    };
}

impl Name {
    fn wrong(self, cause: impl Display) -> Error {
        Error::usage(match self.typed {
            true => format!("invalid value for {self}: {cause}"),
            false => format!("{self}: {cause}"),
        })
    }

    fn parse<T: FromStr<Err = String>>(self, text: &str) -> Result<T, Error> {
        text.parse().map_err(|cause| self.wrong(cause))
    }

    fn excludes(self, other: Name) -> Error {
        Error::usage(format!("{self} cannot be used with {other}"))
    }

    fn needs_tls(self) -> Error {
        Error::usage(format!("{self} needs TLS")).hint("add --tls-cert and --tls-key, or --tls self-signed")
    }
}

impl Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.typed {
            true => write!(f, "--{}", self.knob.replace('_', "-")),
            false => write!(f, "serve.{}", self.knob),
        }
    }
}

/// Decides every option. `stdout` is asked for where the access log goes there.
pub(super) fn resolve(
    typed: ServeKnobs,
    profile: &ServeKnobs,
    stdout: impl FnOnce() -> Box<dyn Write + Send>,
) -> Result<Settings, Error> {
    let knobs = typed.clone().or(profile.clone());
    let tls = tls(&knobs, &typed)?;
    let content = content(&knobs, &typed)?;
    let limits = limits(&knobs, &typed)?;
    let faults = faults(knobs.fault.as_deref().unwrap_or_default(), name!(typed.fault))?;
    let default_listen = if tls.is_some() { "127.0.0.1:8443" } else { "127.0.0.1:8080" };
    let listen = knobs.listen.unwrap_or_else(|| vec![default_listen.into()]);
    let (listen_name, admin_name) = (name!(typed.listen), name!(typed.admin));
    Ok(Settings {
        listen: listen.iter().map(|text| listen_name.parse(text)).collect::<Result<_, _>>()?,
        admin: knobs.admin.map(|text| admin_name.parse(&text)).transpose()?,
        content,
        tls,
        faults,
        seed: need(knobs.seed, "serve.seed")?,
        limits,
        drain: Drain {
            delay: need(knobs.drain_delay, "serve.drain_delay")?.0,
            timeout: need(knobs.drain_timeout, "serve.drain_timeout")?.0,
        },
        access_log: knobs.access_log.map(|path| match path.as_os_str() == "-" {
            true => AccessLog::Writer(stdout()),
            false => AccessLog::File(path),
        }),
        reuse_port: need(knobs.reuse_port, "serve.reuse_port")?,
    })
}

fn content(knobs: &ServeKnobs, typed: &ServeKnobs) -> Result<Content, Error> {
    let (respond, echo, dir) = (name!(typed.respond), name!(typed.echo), name!(typed.dir));
    match (&knobs.respond, knobs.echo.unwrap_or(false), &knobs.dir) {
        (Some(_), true, _) => Err(respond.excludes(echo)),
        (Some(_), _, Some(_)) => Err(respond.excludes(dir)),
        (_, true, Some(_)) => Err(echo.excludes(dir)),
        (None, true, None) => Ok(Content::Echo),
        (None, false, Some(path)) => Ok(Content::Files(path.clone())),
        (Some(text), false, None) => respond.parse(text).map(Content::Respond),
        (None, false, None) => need(None, "serve.respond"),
    }
}

fn faults(specs: &[String], name: Name) -> Result<Vec<fault::Rule>, Error> {
    let mut rules = Vec::new();
    for spec in specs.iter().filter(|spec| !spec.trim().is_empty()) {
        rules.extend(fault::parse(spec).map_err(|error| name.wrong(&error).hint(error.hint()))?);
    }
    Ok(rules)
}

fn tls(knobs: &ServeKnobs, typed: &ServeKnobs) -> Result<Option<tls::Settings>, Error> {
    let Some(identity) = identity(knobs, typed)? else {
        let off = knobs.tls.is_some();
        // A profile may hold a policy for servers that speak TLS; what is typed is meant for this one.
        for name in [name!(typed.tls_min), name!(typed.tls_groups), name!(typed.tls_prefer_server_order)] {
            if name.typed && !off {
                return Err(name.needs_tls());
            }
        }
        if knobs.tls_client_ca.is_some() && !off {
            return Err(name!(typed.tls_client_ca).needs_tls());
        }
        return Ok(None);
    };
    let groups = need(knobs.tls_groups.clone(), "serve.tls_groups")?;
    let group = name!(typed.tls_groups);
    Ok(Some(tls::Settings {
        identity,
        min_version: name!(typed.tls_min).parse(&need(knobs.tls_min.clone(), "serve.tls_min")?)?,
        groups: groups.iter().map(|text| group.parse(text.trim())).collect::<Result<_, _>>()?,
        prefer_server_order: need(knobs.tls_prefer_server_order, "serve.tls_prefer_server_order")?,
        client_ca: knobs.tls_client_ca.clone(),
    }))
}

/// Who the server claims to be; `None`: it speaks no TLS.
fn identity(knobs: &ServeKnobs, typed: &ServeKnobs) -> Result<Option<tls::Identity>, Error> {
    let (how, cert, key) = (name!(typed.tls), name!(typed.tls_cert), name!(typed.tls_key));
    let needs = |one: Name, knob| Error::usage(format!("{one} needs {}", Name { knob, ..one }));
    match (knobs.tls.as_deref(), &knobs.tls_cert, &knobs.tls_key) {
        (Some("off"), ..) => Ok(None),
        (Some("self-signed"), None, None) => Ok(Some(tls::Identity::SelfSigned)),
        (Some("self-signed"), Some(_), _) => Err(how.excludes(cert)),
        (Some("self-signed"), None, Some(_)) => Err(how.excludes(key)),
        (Some(other), ..) => Err(how.wrong(format!("`{other}` is neither self-signed nor off"))),
        (None, Some(certificate), Some(key)) => {
            Ok(Some(tls::Identity::Files { certificate: certificate.clone(), key: key.clone() }))
        }
        (None, Some(_), None) => Err(needs(cert, "tls_key")),
        (None, None, Some(_)) => Err(needs(key, "tls_cert")),
        (None, None, None) => Ok(None),
    }
}

fn limits(knobs: &ServeKnobs, typed: &ServeKnobs) -> Result<Limits, Error> {
    let size = need(knobs.header_limit, "serve.header_limit")?.0;
    let connections = need(knobs.max_connections, "serve.max_connections")?;
    if connections == 0 {
        return Err(name!(typed.max_connections).wrong("there must be room for at least one"));
    }
    Ok(Limits {
        connections,
        header_timeout: need(knobs.header_timeout, "serve.header_timeout")?.0,
        header_size: usize::try_from(size).unwrap_or(usize::MAX),
        body_timeout: need(knobs.body_timeout, "serve.body_timeout")?.0,
        body_size: need(knobs.body_limit, "serve.body_limit")?.0,
        keep_alive: need(knobs.keep_alive, "serve.keep_alive")?.0,
        handshake_timeout: need(knobs.handshake_timeout, "serve.handshake_timeout")?.0,
        write_timeout: need(knobs.write_timeout, "serve.write_timeout")?.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    fn checked(knobs: &str) -> Result<(), String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hardy.toml");
        std::fs::write(&path, format!("[profile.default.serve]\n{knobs}\n")).unwrap();
        let config = Config::load(&Source { path: Some(path), profile: None }).unwrap();
        check(&config).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_run_would_accept_is_accepted_without_a_file_being_opened() {
        for knobs in [
            "",
            "dir = '/nonexistent'",
            "respond = '200:@/nonexistent'",
            "tls_cert = '/nonexistent'\ntls_key = '/nonexistent'\ntls_client_ca = '/nonexistent'",
            "access_log = '/nonexistent/log'",
            "access_log = '-'",
            "tls_min = '1.3'",
            "fault = ['latency=p50:5ms,p99:200ms', 'reset@1%; close@1%']",
        ] {
            assert_eq!(checked(knobs), Ok(()), "{knobs}");
        }
    }

    #[test]
    fn errors_name_the_key() {
        for (knobs, says) in [
            ("listen = ['nowhere']", "serve.listen: `nowhere` is not an address"),
            ("admin = 'nowhere'", "serve.admin: "),
            ("respond = 'ok'", "serve.respond: "),
            ("fault = ['rest@1%']", "serve.fault: `rest@1%`: there is no fault"),
            ("tls = 'please'", "serve.tls: "),
            ("tls = 'self-signed'\ntls_min = '1.1'", "serve.tls_min: "),
            ("tls = 'self-signed'\ntls_groups = ['P-521']", "serve.tls_groups: "),
            ("tls = 'self-signed'\ntls_key = 'k'", "serve.tls cannot be used with serve.tls_key"),
            ("tls_cert = 'c'", "serve.tls_cert needs serve.tls_key"),
            ("tls_client_ca = 'c'", "serve.tls_client_ca needs TLS"),
            ("max_connections = 0", "serve.max_connections: "),
            ("respond = '200:x'\ndir = '.'", "serve.respond cannot be used with serve.dir"),
        ] {
            let error = checked(knobs).unwrap_err();
            assert!(error.starts_with(says), "{knobs}: {error}");
        }
    }
}
