//! Bytes that are nothing of the kind, or only almost.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn no_bytes_do_harm(start in 0usize..4, cut in 0usize..200, mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let key = rcgen::KeyPair::generate().unwrap();
        let made = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        let starts = [
            key.serialize_pem().into_bytes(),
            made.der().to_vec(),
            // The beginnings of PKCS#12 and of PKCS#7.
            vec![0x30, 0x82, 1, 0, 2, 1, 3, 0x30, 0x82, 0, 0xf0, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1],
            vec![0x30, 0x82, 1, 0, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2, 0xa0, 0x82, 0, 0xf0],
        ];
        let mut all: Vec<u8> = starts[start].iter().copied().take(cut).collect();
        all.append(&mut bytes);
        if let Ok(bundle) = content::read(Path::new("x"), &all, Some("secret")) {
            prop_assert!(!bundle.certificates.is_empty() || !bundle.keys.is_empty() || !bundle.unread.is_empty());
        }
    }
}

#[test]
fn a_file_of_many_blocks_gives_each_once() {
    let key = rcgen::KeyPair::generate().unwrap();
    let made = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let damaged = "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n";
    let request = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let text =
        format!("Bag Attributes\n{}{damaged}{request}{}{}", made.pem(), key.serialize_pem(), made.pem());
    let bundle = content::read(Path::new("x"), text.as_bytes(), None).unwrap();
    assert_eq!((bundle.certificates.len(), bundle.keys.len(), bundle.unread.len()), (2, 1, 1));
}

#[test]
fn blocks_without_an_end_are_counted_in_words_and_not_all_looked_at() {
    let bomb = "-----BEGIN CERTIFICATE-----\n".repeat(100_000);
    let bundle = content::read(Path::new("x"), bomb.as_bytes(), None).unwrap();
    let said = [
        "a damaged block: it has no last line (2000 times)",
        "it has more than 2000 blocks: the rest was not looked at",
    ];
    assert_eq!(bundle.unread, said);
}
