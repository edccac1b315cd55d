//! Any bytes as a server's first flight, cut in two and into single bytes: no panic, and the same result as in one piece.

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

// Nothing but the bytes, so that recorded flights can be what it begins with.
fuzz_target!(|bytes: &[u8]| {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let whole = read([bytes]);
    assert_eq!(read([first, second]), whole);
    assert_eq!(read(bytes.chunks(1)), whole);
});
