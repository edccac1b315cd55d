//! The way from the leaf up: which certificate issued which, as far as those that were sent and the roots go.
//!
//! Refuses to ask for dates or rights on the way: whoever issued a certificate is its issuer, fit for it or not.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;

use super::anchors::{Anchors, Root, Roots};
use super::link::{Link, Signed};

/// The way from the leaf up.
pub(super) struct Path<'a> {
    /// Places in the chain as it was sent, the leaf first.
    pub(super) steps: Vec<usize>,
    /// Places of certificates that were not signed by the key of the next, or by that of the root of that name.
    pub(super) broken: Vec<usize>,
    /// Where it ends, if that is trusted.
    pub(super) root: Option<Root<'a>>,
    /// A trusted root has the name of the last one's issuer, and another key.
    pub(super) is_namesake: bool,
}

impl<'a> Path<'a> {
    /// Looks for the way. `links` holds at least the leaf.
    pub(super) fn find(links: &[Link<'_>], anchors: &Anchors<'a>, at: Timestamp) -> Path<'a> {
        let mut path = Path { steps: vec![0], broken: Vec::new(), root: None, is_namesake: false };
        let mut here = 0;
        loop {
            let link = &links[here];
            (path.root, path.is_namesake) = anchors.signer_of(link);
            if path.root.is_some() {
                return path;
            }
            if link.is_self_issued() {
                if link.signed_by(&link.x509) == Signed::No {
                    path.broken.push(here);
                }
                return path;
            }
            let next = (0..links.len())
                .filter(|place| !path.steps.contains(place) && link.names(&links[*place].x509))
                .min_by_key(|place| {
                    (link.signed_by(&links[*place].x509), !links[*place].is_valid_at(at), *place)
                });
            let Some(next) = next else {
                if path.is_namesake {
                    path.broken.push(here);
                }
                return path;
            };
            if link.signed_by(&links[next].x509) == Signed::No {
                path.broken.push(here);
            }
            path.steps.push(next);
            here = next;
        }
    }

    /// The way that was verified, over these issuers.
    pub(super) fn along(
        links: &[Link<'_>],
        issuers: &[CertificateDer<'static>],
        anchors: &Anchors<'a>,
    ) -> Path<'a> {
        let place = |issuer| links.iter().position(|link| link.der == issuer);
        let steps: Vec<usize> = std::iter::once(0).chain(issuers.iter().filter_map(place)).collect();
        let last = steps.last().copied().unwrap_or(0);
        let (root, is_namesake) = anchors.signer_of(&links[last]);
        Path { steps, broken: Vec::new(), root, is_namesake }
    }

    /// The certificates on the way: the leaf, its issuers, and the root where it is known.
    pub(super) fn all<'s>(&'s self, links: &'s [Link<'a>]) -> impl Iterator<Item = &'s Link<'a>> {
        let root = self.root.as_ref().map(|root| &root.link);
        // A leaf that is trusted by itself is its own root.
        let root = root.filter(|root| root.der != links[0].der);
        self.steps.iter().map(|place| &links[*place]).chain(root)
    }

    /// The first one whose issuer is not known: it was not sent and is no root here, or it only has that name.
    pub(super) fn unknown_from<'s, 'l>(&self, links: &'s [Link<'l>]) -> Option<&'s Link<'l>> {
        let top = self.top(links);
        let ends = self.root.is_some() || top.is_self_issued();
        self.broken.first().map(|place| &links[*place]).or((!ends).then_some(top))
    }

    /// The last one that was sent.
    pub(super) fn top<'s, 'l>(&self, links: &'s [Link<'l>]) -> &'s Link<'l> {
        &links[self.steps.last().copied().unwrap_or(0)]
    }
}

/// Where the issuers can be fetched that are neither here nor roots, as the certificates say.
#[must_use]
pub fn missing(chain: &[CertificateDer<'static>], roots: &Roots) -> Vec<String> {
    let anchors = Anchors::new(roots);
    let links: Vec<Link<'_>> =
        chain.iter().enumerate().filter_map(|(place, der)| Link::new(der, place)).collect();
    let is_last = |link: &&Link<'_>| {
        let here = links.iter().any(|other| link.names(&other.x509));
        !here && anchors.signer_of(link).0.is_none()
    };
    links.iter().filter(is_last).flat_map(|link| link.sources().issuers).collect()
}

/// Whether each certificate could be an issuer of the leaf, or of an issuer of it.
pub(super) fn related(links: &[Link<'_>]) -> Vec<bool> {
    let mut related = vec![false; links.len()];
    let mut open = vec![0];
    while let Some(here) = open.pop() {
        if !std::mem::replace(&mut related[here], true) {
            open.extend((0..links.len()).filter(|place| links[here].names(&links[*place].x509)));
        }
    }
    related
}
