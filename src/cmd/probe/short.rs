//! Names cut to a width, from the middle, so that what tells them apart stays.

use std::collections::HashSet;

/// Each name in at most `width` columns (at least 3), as many of them distinct as can be.
///
/// All are cut at the same place: of the places that keep most names distinct, the one nearest to a third of the
/// width, since ends tell more than beginnings.
pub fn shorten(names: &[String], width: usize) -> Vec<String> {
    let kept = width.max(3) - 1;
    let cut_at = |head: usize| names.iter().map(move |name| cut(name, head, kept - head)).collect::<Vec<_>>();
    let mut heads: Vec<usize> = (1..kept).collect();
    heads.sort_by_key(|head| head.abs_diff(width / 3));
    let all = names.iter().collect::<HashSet<_>>().len();
    let mut best = (0, Vec::new());
    for head in heads {
        let short = cut_at(head);
        let distinct = short.iter().collect::<HashSet<_>>().len();
        if distinct > best.0 {
            best = (distinct, short);
        }
        if best.0 == all {
            break;
        }
    }
    best.1
}

/// The first `head` and the last `tail` characters of a name that is longer than both and the sign between them.
fn cut(name: &str, head: usize, tail: usize) -> String {
    let length = name.chars().count();
    if length <= head + 1 + tail {
        return name.to_owned();
    }
    let (first, last) = (name.chars().take(head), name.chars().skip(length - tail));
    first.chain(['…']).chain(last).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn short(names: &[&str], width: usize) -> Vec<String> {
        shorten(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>(), width)
    }

    #[test]
    fn the_middle_goes_and_the_ends_stay() {
        let names = ["127.0.0.1:18078/api/v1/users", "127.0.0.1:18078/api/v1/orders", "db"];
        assert_eq!(short(&names, 20), ["127.0.…/api/v1/users", "127.0.…api/v1/orders", "db"]);
        assert_eq!(short(&names, 40), names);
    }

    #[test]
    fn the_cut_moves_to_keep_names_distinct() {
        let names = ["/run/app1/http.sock:/health", "/run/app2/http.sock:/health"];
        let short = short(&names, 14);
        assert!(short[0] != short[1] && short[0].contains("app1"), "{short:?}");
    }

    proptest! {
        #[test]
        fn no_name_is_wider(names in proptest::collection::vec(".{0,40}", 0..8), width in 3usize..30) {
            let short = shorten(&names, width);
            prop_assert_eq!(short.len(), names.len());
            prop_assert!(short.iter().all(|name| name.chars().count() <= width));
        }
    }
}
