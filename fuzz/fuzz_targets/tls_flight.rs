//! Any bytes as a server's first flight, cut at any place: no panic, and the same result as in one piece.

#![no_main]

use hardy::tls::hello::{Flight, Garbled, Reader};
use libfuzzer_sys::fuzz_target;

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<Flight>, Garbled> {
    let mut reader = Reader::default();
    for piece in pieces {
        if reader.feed(piece)? {
            break;
        }
    }
    reader.finish()
}

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let (first, second) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let whole = read([bytes]);
    assert_eq!(read([first, second]), whole);
    assert_eq!(read(bytes.chunks(1)), whole);
});
