//! Any bytes as an answer, cut at any place: no panic, and the same result as in one piece.

#![no_main]

use hardy::load::http1::read;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, u16, &[u8])| {
    let (to_head, cut, bytes) = input;
    let (first, second) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let whole = read([bytes], to_head);
    assert_eq!(read([first, second], to_head), whole);
    assert_eq!(read(bytes.chunks(1), to_head), whole);
});
