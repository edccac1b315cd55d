//! One version, asked about again and again with less to offer: its suites, and whose order counts.

use super::ask::{Asker, Trouble};
use super::{Spoken, table};
use crate::tls::fact::Fact;
use crate::tls::hello::{ClientHello, Exchange, Flight, alert};
use crate::tls::registry::{Group, Preference, Suite, Version};

/// How a version is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Everything at once; TLS 1.3 without a key, so that the server names its group.
    Whole,
    /// In pieces, for servers that large hellos upset; TLS 1.3 with the keys that most clients send.
    Careful,
    /// TLS 1.3 with a key of each group, for servers that want to have one.
    Keyed,
}

/// An answer that decides something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// This is spoken.
    Chosen(Suite, Option<Group>),
    /// This was chosen, and then not spoken.
    Failed(Suite),
    /// None of what was offered.
    Nothing,
    /// The version is not spoken.
    OtherVersion,
}

/// One version of one server.
#[derive(Clone, Copy)]
pub(super) struct Chain<'a> {
    pub asker: &'a Asker<'a>,
    pub version: Version,
    pub manner: Manner,
}

/// What the first hello of a version brings.
pub(super) enum Begun<'a> {
    /// It is spoken, and this is the first reply.
    Spoken(Chain<'a>, Reply),
    /// It is refused.
    Refused,
    /// None of all that was offered: refused, or too much at once.
    Doubtful,
}

/// Offers everything at once, and less where that decides nothing. TLS 1.3 is asked twice in the same way before it gets
/// a key, since that costs the server more.
pub(super) async fn begin<'a>(asker: &'a Asker<'a>, version: Version) -> Result<Begun<'a>, Trouble> {
    let whole = Chain { asker, version, manner: Manner::Whole };
    let (suites, groups) = (table::suites(version), whole.groups());
    let first = match version {
        Version::Tls13 => whole.ask_twice(suites, groups).await,
        _ => whole.ask(suites, groups).await,
    };
    match first {
        Ok(Reply::OtherVersion) => Ok(Begun::Refused),
        Ok(Reply::Nothing) if version == Version::Tls13 => begin_carefully(asker, version).await,
        Ok(Reply::Nothing) => Ok(Begun::Doubtful),
        Ok(reply) => {
            asker.seen().takes_large |= version < Version::Tls13;
            Ok(Begun::Spoken(whole, reply))
        }
        Err(trouble @ Trouble::Stalled(_)) if version == Version::Tls13 => Err(trouble),
        Err(trouble) if asker.is_worth_another(&trouble) => match begin_carefully(asker, version).await? {
            // Nothing of a few suites says nothing of the others.
            Begun::Doubtful => Ok(Begun::Spoken(Chain { manner: Manner::Careful, ..whole }, Reply::Nothing)),
            begun => Ok(begun),
        },
        Err(trouble) => Err(trouble),
    }
}

/// Offers a little; TLS 1.3 with a key.
pub(super) async fn begin_carefully<'a>(
    asker: &'a Asker<'a>,
    version: Version,
) -> Result<Begun<'a>, Trouble> {
    let careful = Chain { asker, version, manner: Manner::Careful };
    let suites = table::suites(version);
    match careful.ask(&suites[..suites.len().min(table::SMALL)], careful.groups()).await? {
        Reply::OtherVersion => Ok(Begun::Refused),
        Reply::Nothing if version == Version::Tls13 => Ok(Begun::Refused),
        Reply::Nothing => Ok(Begun::Doubtful),
        reply => Ok(Begun::Spoken(careful, reply)),
    }
}

impl Chain<'_> {
    /// The groups that its hellos offer.
    pub fn groups(&self) -> &'static [Group] {
        match self.manner {
            Manner::Whole => table::groups(),
            Manner::Careful | Manner::Keyed => table::common_groups(),
        }
    }

    fn hello<'a>(&'a self, suites: &'a [Suite], groups: &'a [Group]) -> ClientHello<'a> {
        let keys = match self.manner {
            Manner::Whole => &[][..],
            Manner::Careful => &table::USUAL_KEYS,
            Manner::Keyed => groups,
        };
        let (name, is_small) = (self.asker.name, self.manner != Manner::Whole);
        ClientHello { version: self.version, suites, groups, keys, protocols: &[], name, is_small }
    }

    /// Asks once.
    pub async fn ask(&self, suites: &[Suite], groups: &[Group]) -> Result<Reply, Trouble> {
        let flight = self.asker.ask(self.hello(suites, groups)).await?;
        self.understand(&flight, suites, groups)
    }

    /// Asks once more where the first answer decides nothing.
    pub async fn ask_twice(&self, suites: &[Suite], groups: &[Group]) -> Result<Reply, Trouble> {
        let flight = self.asker.ask_twice(self.hello(suites, groups)).await?;
        self.understand(&flight, suites, groups)
    }

    /// Asks for more than is known already. Many servers hang up instead of saying that they have nothing in common:
    /// that is believed when they do so twice, and yet answer when what they are known to speak is offered.
    pub async fn ask_for_more(
        &self,
        (suites, groups): (&[Suite], &[Group]),
        known: Option<(&[Suite], &[Group])>,
    ) -> Result<Reply, Trouble> {
        match (self.ask_twice(suites, groups).await, known) {
            (Err(trouble), Some((suites, groups))) if trouble.is_hang_up() => {
                let control = self.ask(suites, groups).await;
                if matches!(control, Ok(Reply::Chosen(..))) { Ok(Reply::Nothing) } else { Err(trouble) }
            }
            (answer, _) => answer,
        }
    }

    fn understand(&self, flight: &Flight, suites: &[Suite], groups: &[Group]) -> Result<Reply, Trouble> {
        let Some(hello) = &flight.hello else {
            return match flight.alert {
                // This name, or this client, is turned away, whatever it offers.
                Some(
                    number @ (alert::UNRECOGNIZED_NAME
                    | alert::ACCESS_DENIED
                    | alert::USER_CANCELED
                    | alert::NO_APPLICATION_PROTOCOL),
                ) => Err(Trouble::Alert(number)),
                Some(alert::CLOSE_NOTIFY) => Err(Trouble::Closed),
                Some(alert::PROTOCOL_VERSION) | None => Ok(Reply::OtherVersion),
                Some(_) => Ok(Reply::Nothing),
            };
        };
        if hello.version < self.version {
            return Ok(Reply::OtherVersion);
        }
        let suite = hello.suite;
        let group = match flight.exchange {
            Some(Exchange::Group(group)) => Some(group),
            _ => hello.group,
        };
        if hello.version > self.version {
            return Err(Trouble::NotOffered(hello.version.to_string()));
        }
        if !suites.contains(&suite) {
            return Err(Trouble::NotOffered(suite.to_string()));
        }
        if let Some(group) = group.filter(|group| self.version == Version::Tls13 && !groups.contains(group)) {
            return Err(Trouble::NotOffered(group.to_string()));
        }
        Ok(if flight.alert.is_some() { Reply::Failed(suite) } else { Reply::Chosen(suite, group) })
    }

    /// All suites, the first reply being known already.
    pub async fn suites(&self, first: Reply) -> Fact<Spoken> {
        match self.spoken(first).await {
            Ok(spoken) => Fact::Known(spoken),
            Err(trouble) => Fact::unknown(trouble.to_string()),
        }
    }

    async fn spoken(&self, first: Reply) -> Result<Spoken, Trouble> {
        let all = table::suites(self.version);
        let mut found = Vec::new();
        let mut first = Some(first);
        let size = if self.manner == Manner::Whole { all.len() } else { table::SMALL };
        for offer in all.chunks(size) {
            self.collect(offer.to_vec(), first.take(), &mut found).await?;
        }
        let preference = self.preference(&found).await;
        if size < all.len() && found.len() <= size && preference == Fact::Known(Preference::Server) {
            // Found piece by piece: the order shows when they compete.
            let offer = std::mem::take(&mut found);
            self.collect(offer, None, &mut found).await?;
        }
        Ok(Spoken { suites: found, preference })
    }

    async fn collect(
        &self,
        mut offer: Vec<Suite>,
        mut first: Option<Reply>,
        found: &mut Vec<Suite>,
    ) -> Result<(), Trouble> {
        while !offer.is_empty() {
            let reply = match first.take() {
                Some(reply) => reply,
                None => {
                    let known = found.last().map(|suite| (std::slice::from_ref(suite), self.groups()));
                    self.ask_for_more((&offer, self.groups()), known).await?
                }
            };
            let (Reply::Chosen(suite, _) | Reply::Failed(suite)) = reply else { break };
            offer.retain(|offered| *offered != suite);
            if matches!(reply, Reply::Chosen(..)) {
                found.push(suite);
            }
        }
        Ok(())
    }

    /// Asks with the order turned round. Some servers grant a client's first wish if that is ChaCha20 only, so these
    /// stay out where enough others are left.
    async fn preference(&self, found: &[Suite]) -> Fact<Preference> {
        let is_chacha = |suite: &&Suite| suite.to_string().contains("CHACHA20");
        let others: Vec<Suite> = found.iter().filter(|suite| !is_chacha(suite)).copied().collect();
        let mut turned = if others.len() >= 2 { others } else { found.to_vec() };
        turned.reverse();
        let [wish, .., favourite] = turned[..] else {
            return Fact::skipped("one suite leaves nothing to prefer");
        };
        match self.ask_twice(&turned, self.groups()).await {
            Ok(Reply::Chosen(suite, _)) if suite == wish && suite != favourite => {
                Fact::Known(Preference::Client)
            }
            Ok(Reply::Chosen(..)) => Fact::Known(Preference::Server),
            Ok(_) => Fact::unknown("the server refused what it had chosen before"),
            Err(trouble) => Fact::unknown(trouble.to_string()),
        }
    }
}
