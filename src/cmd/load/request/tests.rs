//! From the command line and the config to the bytes that are sent.

use std::fs;

use clap::Parser;
use tempfile::TempDir;

use super::*;
use crate::address::Address;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    request: RequestArgs,
}

/// What is sent to this target; `DIR` in arguments is the directory of the files.
struct Case {
    files: TempDir,
    definition: config::Target,
    keep_alive: bool,
}

impl Case {
    fn new(url: &str, files: &[(&str, &str)]) -> Case {
        let case = Case {
            files: tempfile::tempdir().unwrap(),
            definition: config::Target { url: url.into(), ..Default::default() },
            keep_alive: true,
        };
        for (name, text) in files {
            fs::write(case.files.path().join(name), text.replace("DIR", &case.dir())).unwrap();
        }
        case
    }

    fn dir(&self) -> String {
        self.files.path().to_str().unwrap().to_owned()
    }

    fn resolve(&self, args: &[&str]) -> Result<Sent, String> {
        let args = args.iter().map(|arg| arg.replace("DIR", &self.dir()));
        let line = Line::try_parse_from(["x".to_owned()].into_iter().chain(args));
        let args = line.map_err(|error| error.to_string().lines().next().unwrap().to_owned())?.request;
        let Ok(Address::Http { url, .. }) = self.definition.url.parse() else { panic!("a URL") };
        let origin =
            Origin { name: "api", url: &url, definition: &self.definition, keep_alive: self.keep_alive };
        resolve(&args, &origin).map_err(|error| {
            let causes = error.causes().concat();
            let text = format!("{error} | {causes} | {}", error.advice().unwrap_or_default());
            text.replace(&self.dir(), "DIR")
        })
    }

    /// The requests with the first numbers, lines separated by `|`, without hardy's own headers.
    fn wire(&self, args: &[&str], count: u64) -> Vec<String> {
        let mut cursor = self.resolve(args).unwrap().requests.cursor(1);
        let text = |number| String::from_utf8(cursor.http1(number).bytes.to_vec()).unwrap();
        let agent = concat!("user-agent: hardy/", env!("CARGO_PKG_VERSION"), "\r\n");
        let bare = |text: String| text.replace(agent, "").replace("accept: */*\r\n", "").replace("\r\n", "|");
        (0..count).map(text).map(bare).collect()
    }

    fn error(&self, args: &[&str]) -> String {
        self.resolve(args).unwrap_err()
    }
}

#[test]
fn flags_stand_over_the_config_and_that_over_defaults() {
    let mut case = Case::new("http://h:8080/a?b=1", &[]);
    assert_eq!(case.wire(&[], 1), ["GET /a?b=1 HTTP/1.1|host: h:8080||"]);
    let with_body = case.wire(&["--body", "{n}", "-H", "X-A: 1", "-H", "x-a:2"], 1);
    assert_eq!(with_body, ["POST /a?b=1 HTTP/1.1|host: h:8080|x-a: 1|x-a: 2|content-length: 3||{n}"]);
    case.definition.method = Some("put".into());
    case.definition.body = Some("configured".into());
    case.definition.headers = [("x-a", "0"), ("x-b", "0")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
    case.keep_alive = false;
    assert_eq!(
        case.wire(&["-H", "x-a: 1", "-H", "Host: other"], 1),
        ["PUT /a?b=1 HTTP/1.1|x-b: 0|x-a: 1|host: other|connection: close|content-length: 10||configured"]
    );
    assert!(case.wire(&["-m", "get", "--body", "x"], 1)[0].starts_with("GET /a?b=1"));
    case.definition.method = Some("a b".into());
    assert_eq!(case.error(&[]), "targets.api.method: \"a b\" is no HTTP method |  | ");
    case.definition.method = None;
    case.definition.headers.insert("content-length".into(), "1".into());
    assert!(case.error(&[]).starts_with("targets.api.headers: header content-length is hardy's own: "));
}

#[test]
fn the_user_comes_from_a_file_or_the_url() {
    let case = Case::new("http://h/", &[("user", "Aladdin:open sesame\nx"), ("bad", "Aladdin")]);
    let basic = "GET / HTTP/1.1|host: h|authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==||";
    assert_eq!(case.wire(&["--user-file", "DIR/user"], 1), [basic]);
    assert_eq!(Case::new("http://Aladdin:open%20sesame@h/", &[]).wire(&[], 1), [basic]);
    let error = case.error(&["--user-file", "DIR/bad"]);
    assert_eq!(error, "--user-file DIR/bad: the first line is not of the form USER:PASSWORD |  | ");
    let error = case.error(&["--user-file", "DIR/user", "-H", "authorization: x"]);
    assert!(error.starts_with("--user-file cannot be used with --header authorization"));
}

#[test]
fn templates_are_filled_in_only_when_asked() {
    let files = [("v.csv", "id,name\n1,a b\n2,\"c/\"\"d\"\"\"\n"), ("body", "{{{n}}} {name}")];
    let case = Case::new("http://h/{n}/{csv:name}?q={id}#top", &files);
    let plain = "POST /%7Bn%7D/%7Bcsv:name%7D?q={id} HTTP/1.1|host: h|content-length: 14||{{{n}}} {name}";
    assert_eq!(case.wire(&["--body-file", "DIR/body"], 1), [plain]);
    let all = ["--template", "--csv", "DIR/v.csv", "--body-file", "DIR/body", "-H", "x-id: {line}"];
    let expected = [
        "POST /1/a%20b?q=1 HTTP/1.1|host: h|x-id: 1|content-length: 7||{1} a b",
        "POST /2/c%2F%22d%22?q=2 HTTP/1.1|host: h|x-id: 2|content-length: 9||{2} c/\"d\"",
        "POST /3/a%20b?q=1 HTTP/1.1|host: h|x-id: 1|content-length: 7||{3} a b",
    ];
    assert_eq!(case.wire(&all, 3), expected);
    let socket = Case::new("unix+http:///run/s.sock:/{n}", &[]);
    assert_eq!(socket.wire(&["--template"], 1), ["GET /1 HTTP/1.1|host: localhost||"]);
    let error = socket.error(&["--template", "-H", "x-a: {x}"]);
    assert!(error.starts_with("--template: header x-a: unknown {x}: known are {number} or {n}, "), "{error}");
    assert!(socket.error(&["--csv", "DIR/v.csv"]).contains("required arguments were not provided"));
}

#[test]
fn targets_say_what_they_want_and_flags_the_rest() {
    let file = "9 /a\nx-a: 2\nPOST http://h/b?{n}\n@DIR/body\nhttp://h\n";
    let case = Case::new("http://h/ignored", &[("t", &file[2..]), ("w", file), ("body", "{}")]);
    let expected = [
        "GET /a HTTP/1.1|host: h|x-a: 2||",
        "POST /b?{n} HTTP/1.1|host: h|x-a: 1|content-length: 2||{}",
        "GET / HTTP/1.1|host: h|x-a: 1||",
        "GET /a HTTP/1.1|host: h|x-a: 2||",
    ];
    assert_eq!(case.wire(&["--targets", "DIR/t", "-H", "x-a: 1"], 4), expected);
    let by_weight = case.wire(&["--targets", "DIR/w", "-H", "x-a: 1"], 1100);
    let often = by_weight.iter().filter(|wire| **wire == expected[0]).count();
    // Nine in eleven; the standard deviation is 13.
    assert!(often.abs_diff(900) < 60, "{often}");
}

#[test]
fn a_wrong_line_of_targets_is_named() {
    for (text, error) in [
        ("/a\nhttp://other/b", "--targets DIR/t:2: only requests to http://h can be in it"),
        ("https://h/b", "--targets DIR/t:1: only requests to http://h can be in it"),
        ("http://me:pw@h/b", "--targets DIR/t:1: users and passwords do not belong here"),
        ("/a\n@DIR/none", "--targets DIR/t:2: --targets: cannot read DIR/none | No such file"),
        ("# a\n/{x}", "--targets DIR/t:2: path: unknown {x}: "),
        ("0 /a", "--targets DIR/t:1: the weight 0 is not between"),
    ] {
        let case = Case::new("http://h/", &[("t", text)]);
        let found = case.error(&["--targets", "DIR/t", "--template"]);
        assert!(found.starts_with(error), "{text}: {found}");
    }
}

#[test]
fn a_log_gives_requests_and_times() {
    let log = "h - - [10/Oct/2000:13:55:36 -0700] \"GET /a HTTP/1.1\" 200 1\n\
               nonsense\n\
               h - - [10/Oct/2000:13:55:38 -0700] \"DELETE /b HTTP/1.1\" 200 1\n";
    let case = Case::new("http://h/", &[("log", log), ("empty", ""), ("put", &log[60..])]);
    let sent = case.resolve(&["--replay", "DIR/log"]).unwrap();
    assert_eq!(sent.schedule, Some(Schedule::Times(vec![0])));
    let log = format!("{}/log", case.dir());
    let warnings = [
        format!("{log}: lines that cannot be read: 1, the first of them line 2: nonsense"),
        format!("{log}: requests other than GET and HEAD, left out: 1; --replay-unsafe sends them too"),
    ];
    assert_eq!(sent.warnings, warnings);
    let all = ["--replay", "DIR/log", "--replay-unsafe", "--speed", "4", "--body", "x"];
    assert_eq!(case.resolve(&all).unwrap().schedule, Some(Schedule::Times(vec![0, 500_000_000])));
    let expected = ["GET /a HTTP/1.1|host: h||", "DELETE /b HTTP/1.1|host: h|content-length: 1||x"];
    assert_eq!(case.wire(&all, 2), expected);
    let nothing = "no line of it is a request that can be replayed";
    assert_eq!(
        case.error(&["--replay", "DIR/empty"]),
        format!("--replay DIR/empty: {nothing} |  | it has no line at all")
    );
    assert!(case.error(&["--replay", "DIR/put"]).ends_with("--replay-unsafe sends them too"));
    assert!(
        case.error(&["--replay", "DIR/log", "--body", "x"])
            .starts_with("with --replay a body has no meaning")
    );
    for bad in ["0", "-1", "nan", "inf", "x"] {
        let error = case.error(&["--replay", "DIR/log", &format!("--speed={bad}")]);
        assert!(error.contains("expected a factor such as 2 or 0.5"), "{error}");
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let case = Case::new("http://h/", &[]);
    for flag in ["--body-file", "--targets", "--replay", "--user-file"] {
        let error = case.error(&[flag, "DIR/none"]);
        assert!(error.starts_with(&format!("{flag}: cannot read DIR/none | No such file")), "{error}");
    }
    let error = case.error(&["--template", "--csv", "DIR"]);
    assert!(error.starts_with("--csv: cannot read DIR | Is a directory"), "{error}");
}
