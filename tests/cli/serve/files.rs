//! Files, and nothing but files below the directory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::super::support::DEADLINE;
use super::client::{Answer, Server, make_pipe};

/// A site with a secret beside it.
fn site() -> (TempDir, Server) {
    let directory = tempfile::tempdir().unwrap();
    let site = directory.path().join("site");
    fs::create_dir_all(site.join("sub/deep")).unwrap();
    fs::create_dir(site.join(".hidden")).unwrap();
    for (name, text) in [
        ("../secret", "secret"),
        ("a.txt", "0123456789"),
        ("page.html", "plain"),
        ("page.html.gz", "gzipped"),
        ("page.html.br", "brotli"),
        ("sub/index.html", "index"),
        ("with space.txt", "space"),
        (".env", "secret"),
        (".hidden/file", "secret"),
        ("empty", ""),
    ] {
        fs::write(site.join(name), text).unwrap();
    }
    symlink("../secret", site.join("link")).unwrap();
    symlink("a.txt", site.join("inner")).unwrap();
    symlink("/", site.join("root")).unwrap();
    make_pipe(&site.join("pipe"));
    let server = Server::start(&["--dir", site.to_str().unwrap()]);
    (directory, server)
}

fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> Answer {
    server.connect().request("GET", path, headers)
}

#[test]
fn what_is_there() {
    let (_directory, server) = site();
    for (path, body, media) in [
        ("/a.txt", "0123456789", "text/plain; charset=utf-8"),
        ("/sub/", "index", "text/html; charset=utf-8"),
        ("/sub/index.html", "index", "text/html; charset=utf-8"),
        ("/with%20space.txt", "space", "text/plain; charset=utf-8"),
        ("//a.txt", "0123456789", "text/plain; charset=utf-8"),
        ("/a.txt?query", "0123456789", "text/plain; charset=utf-8"),
        ("/empty", "", "application/octet-stream"),
    ] {
        let answer = get(&server, path, &[]);
        assert_eq!((answer.status, answer.text().as_str()), (200, body), "{path}");
        assert_eq!(answer.header("content-type"), Some(media), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
    let head = server.connect().request("HEAD", "/a.txt", &[]);
    assert_eq!((head.status, head.header("content-length")), (200, Some("10")));
    let redirect = get(&server, "/sub?x=1", &[]);
    assert_eq!((redirect.status, redirect.header("location")), (301, Some("/sub/?x=1")));
}

#[test]
fn what_is_not_told() {
    let (_directory, server) = site();
    for path in [
        "/",
        "/sub/deep/",
        "/missing",
        "/a.txt/",
        "/a.txt/b",
        "/.env",
        "/.hidden/file",
        "/%2eenv",
        "/link",
        "/inner",
        "/root/etc/passwd",
        "/pipe",
        "/../secret",
        "/sub/../../secret",
        "/%2e%2e/secret",
        "/%2E%2E/secret",
        "/.%2e/secret",
        "/..%2fsecret",
        "/sub/..%2f..%2fsecret",
        "/..%5csecret",
        "/%252e%252e/secret",
        "/..%252fsecret",
        "/%c0%ae%c0%ae/secret",
        "/....//secret",
        "/a.txt%00",
        "/a.txt%00.html",
        "/%",
        "/%2",
        "/%zz",
        "//../secret",
        "/./../secret",
        &format!("/{}", "a/".repeat(3000)),
        &format!("/{}", "a".repeat(300)),
    ] {
        let answer = get(&server, path, &[]);
        let shown = &path[..path.len().min(40)];
        assert!([400, 404].contains(&answer.status), "{shown}: {answer:?}");
        assert!(!answer.text().contains("secret"), "{shown}: {answer:?}");
    }
    // Absolute targets and other hosts lead no further.
    let mut client = server.connect();
    client.send("GET http://other/../secret HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 404);
    assert_eq!(get(&server, "/a.txt", &[]).status, 200);
}

#[test]
fn only_reading() {
    let (_directory, server) = site();
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"] {
        let answer = server.connect().request(method, "/a.txt", &[]);
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
}

#[test]
fn ranges() {
    let (_directory, server) = site();
    for (range, status, body, content_range) in [
        ("bytes=0-3", 206, "0123", Some("bytes 0-3/10")),
        ("bytes=7-", 206, "789", Some("bytes 7-9/10")),
        ("bytes=-2", 206, "89", Some("bytes 8-9/10")),
        ("bytes=5-99", 206, "56789", Some("bytes 5-9/10")),
        ("bytes=10-", 416, "", Some("bytes */10")),
        ("bytes=-0", 416, "", Some("bytes */10")),
        ("bytes=-99", 206, "0123456789", Some("bytes 0-9/10")),
        ("bytes=0-18446744073709551615", 206, "0123456789", Some("bytes 0-9/10")),
        ("bytes=-18446744073709551615", 206, "0123456789", Some("bytes 0-9/10")),
        ("bytes=0-99999999999999999999999", 206, "0123456789", Some("bytes 0-9/10")),
        ("bytes=99999999999999999999999-", 416, "", Some("bytes */10")),
        ("bytes=5-2", 200, "0123456789", None),
        ("bytes=0-,0-", 200, "0123456789", None),
        ("lines=1-2", 200, "0123456789", None),
    ] {
        let answer = get(&server, "/a.txt", &[("Range", range)]);
        assert_eq!((answer.status, answer.text().as_str()), (status, body), "{range}");
        assert_eq!(answer.header("content-range"), content_range, "{range}");
    }
    let etag = get(&server, "/a.txt", &[]).header("etag").expect("an etag").to_owned();
    let same = get(&server, "/a.txt", &[("Range", "bytes=0-0"), ("If-Range", &etag)]);
    assert_eq!(same.status, 206);
    let other = get(&server, "/a.txt", &[("Range", "bytes=0-0"), ("If-Range", "\"other\"")]);
    assert_eq!((other.status, other.text().as_str()), (200, "0123456789"));
}

#[test]
fn conditions() {
    let (directory, server) = site();
    let answer = get(&server, "/a.txt", &[]);
    let etag = answer.header("etag").unwrap().to_owned();
    let modified = answer.header("last-modified").unwrap().to_owned();
    for (name, value, status) in [
        ("If-None-Match", etag.as_str(), 304),
        ("If-None-Match", "\"other\"", 200),
        ("If-Modified-Since", modified.as_str(), 304),
        ("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT", 200),
        ("If-Modified-Since", "yesterday", 200),
        ("If-Match", "\"other\"", 412),
        ("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT", 412),
    ] {
        let answer = get(&server, "/a.txt", &[(name, value)]);
        assert_eq!(answer.status, status, "{name}: {value}");
        assert!(answer.header("vary").is_some(), "{name}: {value}");
    }
    fs::write(directory.path().join("site/a.txt"), "changed!").unwrap();
    assert_eq!(get(&server, "/a.txt", &[("If-None-Match", &etag)]).text(), "changed!");
}

#[test]
fn a_pipe_is_not_even_opened() {
    let (directory, server) = site();
    let pipe = directory.path().join("site/pipe");
    let (opened, writer) = std::sync::mpsc::channel();
    let path = pipe.clone();
    std::thread::spawn(move || opened.send(fs::OpenOptions::new().write(true).open(path).is_ok()));
    for _ in 0..20 {
        assert_eq!(get(&server, "/pipe", &[("Accept-Encoding", "gzip")]).status, 404);
    }
    // Whoever waits for the pipe's real reader still waits.
    assert!(writer.recv_timeout(Duration::from_millis(100)).is_err());
    let _reader = fs::OpenOptions::new().read(true).open(pipe).unwrap();
    assert!(writer.recv_timeout(DEADLINE).unwrap());
}

#[test]
fn ready_compressed_forms() {
    let (_directory, server) = site();
    for (accept, coding, body) in [
        ("gzip, deflate, br", Some("br"), "brotli"),
        ("gzip", Some("gzip"), "gzipped"),
        ("br;q=0.1, gzip;q=0.9", Some("gzip"), "gzipped"),
        ("br;q=0, *", Some("gzip"), "gzipped"),
        ("gzip;q=0", None, "plain"),
        ("identity, br;q=0.5", None, "plain"),
        ("", None, "plain"),
    ] {
        let answer = get(&server, "/page.html", &[("Accept-Encoding", accept)]);
        assert_eq!((answer.header("content-encoding"), answer.text().as_str()), (coding, body), "{accept}");
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{accept}");
        assert_eq!(answer.header("vary"), Some("accept-encoding"), "{accept}");
    }
    assert_eq!(get(&server, "/a.txt", &[("Accept-Encoding", "gzip")]).text(), "0123456789");
}

#[test]
fn a_large_file_arrives_whole() {
    let directory = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..3_000_000u32).flat_map(u32::to_le_bytes).collect();
    fs::write(directory.path().join("large"), &content).unwrap();
    let server = Server::start(&["--dir", directory.path().to_str().unwrap()]);
    assert!(get(&server, "/large", &[]).body == content);
}

#[test]
fn a_file_from_before_1970_is_no_reason_to_panic() {
    let (directory, server) = site();
    let old: &Path = &directory.path().join("site/a.txt");
    let status = Command::new("touch").args(["-d", "1960-01-01"]).arg(old).status();
    assert!(status.expect("touch runs").success());
    let answer = get(&server, "/a.txt", &[("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")]);
    assert_eq!((answer.status, answer.header("last-modified")), (200, None));
}
