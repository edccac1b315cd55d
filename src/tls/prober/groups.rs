//! Groups: of TLS 1.3 by the retry requests for them, or by the keys that are taken; of older versions by the key
//! exchange.

use super::ask::Trouble;
use super::chain::{Chain, Manner, Reply};
use super::table;
use crate::tls::fact::Fact;
use crate::tls::hello::share;
use crate::tls::registry::{Group, Preference, Suite, Version};

/// Groups in the order in which they were chosen, and whose order that is.
pub(super) struct Groups {
    pub found: Fact<Vec<Group>>,
    pub preference: Fact<Preference>,
}

impl Groups {
    /// There are none, for this reason.
    pub fn none(why: &str) -> Groups {
        Groups { found: Fact::Known(Vec::new()), preference: Fact::skipped(why) }
    }

    /// They could not be found out.
    pub fn unknown(why: &str) -> Groups {
        Groups { found: Fact::unknown(why), preference: Fact::unknown(why) }
    }
}

impl Chain<'_> {
    /// All groups of TLS 1.3, the first being known already.
    pub async fn tls13_groups(&self, first: Option<Group>) -> Groups {
        let Some(first) = first else { return Groups::unknown("the server named no group") };
        let manner = if self.manner == Manner::Whole { Manner::Whole } else { Manner::Keyed };
        Chain { manner, ..*self }.groups_of(table::suites(Version::Tls13), &[], vec![first]).await
    }

    /// All groups that go with these suites, but for those that are known: the ones already seen, and more.
    pub async fn groups_of(&self, suites: &[Suite], known: &[Group], seen: Vec<Group>) -> Groups {
        let mut found: Vec<Group> = seen.into_iter().filter(|group| !known.contains(group)).collect();
        let preference = match self.more_groups(suites, known, &mut found).await {
            Ok(()) => self.group_preference(suites, &found).await,
            Err(trouble) => return Groups::unknown(&trouble.to_string()),
        };
        if self.manner != Manner::Whole && preference == Fact::Known(Preference::Server) {
            found = self.in_order(suites, found).await;
        }
        Groups { found: Fact::Known(found), preference }
    }

    /// Found piece by piece: the order shows when they compete.
    async fn in_order(&self, suites: &[Suite], mut offer: Vec<Group>) -> Vec<Group> {
        let mut ordered = Vec::new();
        while offer.len() > 1
            && let Ok(Reply::Chosen(_, Some(group))) = self.ask_twice(suites, &offer).await
            && let Some(index) = offer.iter().position(|offered| *offered == group)
        {
            ordered.push(offer.remove(index));
        }
        [ordered, offer].concat()
    }

    async fn more_groups(
        &self,
        suites: &[Suite],
        known: &[Group],
        found: &mut Vec<Group>,
    ) -> Result<(), Trouble> {
        for offer in table::pieces(self.manner) {
            while let Some(group) = self.another_group(suites, offer, known, found).await? {
                found.push(group);
            }
        }
        Ok(())
    }

    async fn another_group(
        &self,
        suites: &[Suite],
        offer: &[Group],
        known: &[Group],
        found: &[Group],
    ) -> Result<Option<Group>, Trouble> {
        // A certificate's own curve must be among those offered, or its suites are out of the question.
        let is_ecdsa = |suite: &Suite| suite.to_string().contains("_ECDSA_");
        let is_bound = self.version < Version::Tls13 && suites.iter().all(is_ecdsa);
        let is_new = |group: &Group| !known.contains(group) && !found.contains(group);
        let mut offer: Vec<Group> = offer.iter().copied().filter(is_new).collect();
        if offer.is_empty() {
            return Ok(None);
        }
        if is_bound {
            offer.extend(found);
        }
        if self.manner == Manner::Keyed && offer.iter().all(|group| share::key(*group).is_none()) {
            offer.push(share::GREASE);
        }
        let control = found.last().or(known.last()).map(|group| (suites, std::slice::from_ref(group)));
        match self.ask_for_more((suites, &offer), control).await? {
            Reply::Chosen(_, group) => Ok(group.filter(is_new)),
            _ => Ok(None),
        }
    }

    async fn group_preference(&self, suites: &[Suite], found: &[Group]) -> Fact<Preference> {
        let turned: Vec<Group> = found.iter().rev().copied().collect();
        let [wish, .., _] = turned[..] else {
            return Fact::skipped("one group leaves nothing to prefer");
        };
        match self.ask_twice(suites, &turned).await {
            Ok(Reply::Chosen(_, Some(group))) if group == wish => Fact::Known(Preference::Client),
            Ok(Reply::Chosen(_, Some(_))) => Fact::Known(Preference::Server),
            Ok(_) => Fact::unknown("the server refused what it had chosen before"),
            Err(trouble) => Fact::unknown(trouble.to_string()),
        }
    }
}
