//! Files that were cut, changed, removed or cannot be written: no token comes twice, and two never hold.

use super::*;
use crate::lock::local::ledger::Ledger;
use crate::store::local::{Access, BootId, Guard};
use std::os::unix::fs::FileExt;

const STATE: u64 = 128;

impl Store {
    fn file(&self, name: &str) -> PathBuf {
        self.root().join("locks/=x").join(name)
    }

    async fn token(&self) -> Result<u64, Error> {
        let held = self.acquire(&at_once(wanted("x"))).await?;
        let token = held.grant().token();
        held.release().await?;
        Ok(token)
    }
}

#[tokio::test]
async fn one_damaged_copy_of_the_state_costs_numbers_and_nothing_else() {
    let store = Store::new();
    let mut last = 0;
    for byte in 0..STATE {
        for _ in 0..3 {
            let token = store.token().await.unwrap();
            assert!(token > last, "{token} after {last} with byte {byte} changed");
            last = token;
        }
        let file = fs::OpenOptions::new().read(true).write(true).open(store.file("state")).unwrap();
        let mut old = [0];
        file.read_exact_at(&mut old, byte).unwrap();
        file.write_all_at(&[old[0] ^ 1 << (byte % 8)], byte).unwrap();
    }
}

#[tokio::test]
async fn a_state_that_was_cut_goes_on_or_is_refused() {
    for length in 0..STATE {
        // Whichever copy is the newer one.
        for uses in 1..3 {
            let store = Store::new();
            let mut last = 0;
            for _ in 0..uses {
                last = store.token().await.unwrap();
            }
            fs::OpenOptions::new().write(true).open(store.file("state")).unwrap().set_len(length).unwrap();
            match store.token().await {
                Ok(token) => {
                    assert!(length >= STATE / 2 && token > last + 1000, "{token} after {last} at {length}");
                }
                Err(error) => {
                    assert!(length < STATE / 2, "{length}: {error}");
                    assert!(error.to_string().contains("state is damaged"), "{error}");
                    assert!(store.entries().is_empty());
                    let Error::Store(error) = error else { panic!("{error}") };
                    assert!(error.into_parts().2.unwrap().contains("remove"));
                    store.locks().standing(&name("x"), 1).await.unwrap_err();
                }
            }
        }
    }
}

#[tokio::test]
async fn a_state_that_is_gone_is_not_begun_again() {
    let store = Store::new();
    store.token().await.unwrap();
    fs::remove_file(store.file("state")).unwrap();
    let error = store.token().await.unwrap_err().to_string();
    assert!(error.contains("state is damaged: it is missing"), "{error}");
    // As the hint says.
    fs::remove_dir_all(store.root().join("locks/=x")).unwrap();
    assert_eq!(store.token().await.unwrap(), 1);
}

#[tokio::test]
async fn numbers_go_on_from_the_ceiling_after_another_start_of_the_host() {
    let home = tempfile::tempdir().unwrap();
    let access = Access::of(&fs::metadata(home.path()).unwrap());
    let path = home.path().join("guard");
    let (mut last, mut ceiling) = (0, 0);
    for boot in 1..6 {
        for _ in 0..700 {
            let mut guard = Guard::take(&path, Some(&access)).await.unwrap().unwrap();
            let mut ledger = Ledger::open(home.path(), &mut guard, &access, BootId(boot)).unwrap();
            let (ticket, token) = (ledger.ticket().unwrap(), ledger.token().unwrap());
            assert!(last.max(ceiling) < ticket && ticket < token);
            (last, ceiling) = (token, 0);
        }
        // Whatever of it had reached the disk when the host lost its power: the next start counts from there.
        let slots = fs::read(home.path().join("state")).unwrap();
        let forced = slots.chunks(64).map(|slot| u64::from_le_bytes(slot[32..40].try_into().unwrap()));
        ceiling = forced.min().unwrap();
        assert!(last <= ceiling);
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_named() {
    for file in ["state", "guard", "holders", "waiters"] {
        let store = Store::new();
        store.token().await.unwrap();
        let path = store.file(file);
        if path.is_dir() {
            fs::remove_dir(&path).unwrap();
            fs::write(&path, "").unwrap();
        } else {
            fs::remove_file(&path).unwrap();
            fs::create_dir(&path).unwrap();
        }
        let Err(Error::Store(error)) = store.token().await else { panic!("{file}") };
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}

#[tokio::test]
async fn a_lease_that_cannot_be_read_stays_in_the_way() {
    let store = Store::new();
    let grant = store.acquire(&leased(600_000)).await.unwrap().grant().clone();
    let path = store.entries().remove(0);
    let whole = fs::read(&path).unwrap();
    for length in 1..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let error = store.token().await.unwrap_err().to_string();
        assert!(error.contains("does not say whose it is"), "{length}: {error}");
    }
    let text = String::from_utf8(whole).unwrap();
    let (before, boot) = text.split_once("\"boot\":\"").unwrap();
    fs::write(
        &path,
        format!("{before}\"boot\":\"{}{}", if boot.starts_with('0') { 1 } else { 0 }, &boot[1..]),
    )
    .unwrap();
    let lost = store.locks().renew(&grant.handle).await.unwrap_err().to_string();
    assert!(lost.contains("this host was started again since"), "{lost}");
    // Empty, or zeros: what a loss of power leaves.
    for rest in [vec![], vec![0; 100]] {
        fs::write(&path, rest).unwrap();
        assert!(store.holders(&name("x")).await.is_empty());
    }
    assert!(store.token().await.unwrap() > grant.token());
    assert!(store.entries().is_empty());
}

#[tokio::test]
async fn directories_that_are_links_are_refused() {
    let store = Store::new();
    store.acquire(&wanted("a/x")).await.unwrap().release().await.unwrap();
    let elsewhere = store.home.path().join("elsewhere");
    for part in ["=a/=x/holders", "=a/=x/waiters", "=a/=x", "=a", ""] {
        let path = store.root().join("locks").join(part);
        let path = path.components().collect::<PathBuf>();
        fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        let before = fs::read_dir(&elsewhere).unwrap().count();
        let error = store.acquire(&at_once(wanted("a/x"))).await.err().unwrap().to_string();
        assert!(error.contains("cannot use"), "{part}: {error}");
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), before);
        fs::remove_file(&path).unwrap();
        fs::rename(&elsewhere, &path).unwrap();
    }
    store.acquire(&wanted("a/x")).await.unwrap();
}
