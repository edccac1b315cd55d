//! Why a call failed: the fixed taxonomy with its stable ids.
//!
//! Refuses free text: that is the [`Fault`]'s detail, which no program should read.

use std::borrow::Cow;
use std::fmt;
use std::io;

use rustix::io::Errno;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use crate::breaker::Outcome;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $id:literal,)+) => {
        /// Why a call failed. Ids that begin with `local.` are this host's own faults and never count
        /// against the target.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// All of them, in the order in which a call can meet them.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)+];

            /// The stable id, as reports show it.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self {
                    $(Reason::$name => $id,)+
                }
            }
        }
    };
}

reasons! {
    /// The name could not be looked up.
    Dns = "dns",
    /// Nobody listens there.
    ConnectRefused = "connect.refused",
    /// No connection came about in time.
    ConnectTimeout = "connect.timeout",
    /// The peer cut the connection with a reset.
    ConnectReset = "connect.reset",
    /// A router or the peer's own network says that the host cannot be reached.
    ConnectUnreachable = "connect.unreachable",
    /// The proxy on the way did not make the connection.
    Proxy = "proxy",
    /// The certificate, or one above it, has run out.
    TlsCertificateExpired = "tls.certificate.expired",
    /// The certificate is not valid yet.
    TlsCertificateNotYetValid = "tls.certificate.not_yet_valid",
    /// The certificate is for another name.
    TlsCertificateName = "tls.certificate.name",
    /// The chain does not end in a trusted root.
    TlsCertificateUntrusted = "tls.certificate.untrusted",
    /// The certificate is unusable in another way: revoked, malformed, for another purpose.
    TlsCertificateInvalid = "tls.certificate.invalid",
    /// The server wants a certificate from its client, and hardy has none.
    TlsClientCertificate = "tls.client_certificate",
    /// The handshake failed.
    TlsHandshake = "tls.handshake",
    /// The certificate is good, and does not last as long as was asked for.
    TlsCertificateExpiresSoon = "tls.certificate.expires_soon",
    /// The status is not the expected one.
    HttpStatus = "http.status",
    /// What came is not HTTP.
    HttpProtocol = "http.protocol",
    /// More redirects than allowed, or one that leads nowhere.
    HttpRedirect = "http.redirect",
    /// What came is not the protocol of the target.
    Protocol = "protocol",
    /// The server answers, and says that it does not serve this client, or nobody yet.
    RefusedByServer = "refused.by_server",
    /// The health service says that it does not serve.
    GrpcNotServing = "grpc.not_serving",
    /// The call ended with another status than OK.
    GrpcStatus = "grpc.status",
    /// The DNS server answered with an error, or with no such record.
    DnsAnswer = "dns.answer",
    /// The member of etcd has no leader, no quorum, or an alarm.
    EtcdUnhealthy = "etcd.unhealthy",
    /// None of the answers is the expected one.
    AnswerMismatch = "answer.mismatch",
    /// A header is missing or differs.
    HeaderMismatch = "header.mismatch",
    /// The body is not the expected one.
    BodyMismatch = "body.mismatch",
    /// The body is not JSON, or a JSON path finds nothing or another value.
    JsonMismatch = "json.mismatch",
    /// The answer was right but came too late.
    Latency = "latency",
    /// The peer closed the connection before the answer was complete.
    Closed = "closed",
    /// The call took longer than the breaker's timeout, after the connection stood.
    Timeout = "timeout",
    /// The command ended with another status than expected.
    ExecStatus = "exec.status",
    /// The command was ended by a signal.
    ExecSignal = "exec.signal",
    /// This process or host has no file descriptor left.
    LocalDescriptors = "local.descriptors",
    /// This host has no port left to connect from.
    LocalPorts = "local.ports",
    /// This host has no route to any such network.
    LocalNetwork = "local.network",
    /// This user may not.
    LocalPermission = "local.permission",
    /// The command does not exist or cannot be executed.
    LocalCommand = "local.command",
    /// This host trusts no root certificate at all.
    LocalRoots = "local.roots",
    /// This host is out of memory, processes or the like.
    LocalResources = "local.resources",
}

impl Reason {
    /// Is it this host's own fault, so that nothing is known about the target?
    #[must_use]
    pub fn is_local(self) -> bool {
        self.id().starts_with("local.")
    }

    /// This host's own fault among the errors of the operating system, if it is one.
    #[must_use]
    pub fn local(error: &io::Error) -> Option<Reason> {
        let errno = Errno::from_raw_os_error(error.raw_os_error()?);
        Some(match errno {
            Errno::MFILE | Errno::NFILE => Reason::LocalDescriptors,
            Errno::ADDRNOTAVAIL => Reason::LocalPorts,
            Errno::NETUNREACH | Errno::NETDOWN | Errno::AFNOSUPPORT => Reason::LocalNetwork,
            Errno::ACCESS | Errno::PERM => Reason::LocalPermission,
            Errno::NOMEM | Errno::NOBUFS => Reason::LocalResources,
            _ => return None,
        })
    }

    /// What the breaker is told.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        match self {
            Reason::Timeout | Reason::ConnectTimeout => Outcome::Timeout,
            reason if reason.is_local() => Outcome::Excluded,
            _ => Outcome::Failure,
        }
    }

    /// A fault for this reason.
    pub fn because(self, detail: impl Into<String>) -> Fault {
        Fault { reason: self, detail: detail.into() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

impl JsonSchema for Reason {
    fn schema_name() -> Cow<'static, str> {
        "Reason".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let ids: Vec<_> = Reason::ALL.iter().map(|reason| reason.id()).collect();
        json_schema!({ "type": "string", "enum": ids })
    }
}

/// One failed call: why, and the particulars for a person, such as `expected 200, got 503`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Why.
    pub reason: Reason,
    /// The particulars, one line.
    pub detail: String,
}

impl Fault {
    /// All faults of one call as one: the first one's reason, and the details of all.
    ///
    /// # Errors
    /// When there is any.
    pub fn first_of(faults: Vec<Fault>) -> Result<(), Fault> {
        let Some(reason) = faults.first().map(|fault| fault.reason) else { return Ok(()) };
        let details: Vec<_> = faults.into_iter().map(|fault| fault.detail).collect();
        Err(reason.because(details.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_distinct() {
        let ids: HashSet<_> = Reason::ALL.iter().map(|reason| reason.id()).collect();
        assert_eq!(ids.len(), Reason::ALL.len());
    }

    #[test]
    fn own_faults_never_count_against_the_target() {
        assert_eq!(Reason::LocalDescriptors.outcome(), Outcome::Excluded);
        assert_eq!(Reason::ConnectTimeout.outcome(), Outcome::Timeout);
        assert_eq!(Reason::HttpStatus.outcome(), Outcome::Failure);
    }
}
