//! The words of a command, with places for what differs from job to job.
//!
//! A line is one argument, whatever it contains; only where a shell is asked for is it quoted into a text. The
//! replacement strings mean what they mean to GNU parallel.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::text::quoted;

/// What a command is made of for each job.
#[derive(Clone, Debug)]
pub struct Template {
    prefix: Vec<Word>,
    words: Vec<Word>,
    shell: bool,
}

/// What differs from job to job.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The line.
    pub line: &'a [u8],
    /// Of the job, from 1.
    pub number: u64,
    /// Of the worker, from 1.
    pub slot: usize,
}

type Word = Vec<Part>;

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(Vec<u8>),
    Line(Shape),
    Number,
    Slot,
}

/// What of the line.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Whole,
    WithoutExtension,
    Base,
    Directory,
    BaseWithoutExtension,
}

const STRINGS: [(&[u8], Part); 7] = [
    (b"{}", Part::Line(Shape::Whole)),
    (b"{#}", Part::Number),
    (b"{%}", Part::Slot),
    (b"{.}", Part::Line(Shape::WithoutExtension)),
    (b"{/}", Part::Line(Shape::Base)),
    (b"{//}", Part::Line(Shape::Directory)),
    (b"{/.}", Part::Line(Shape::BaseWithoutExtension)),
];

impl Template {
    /// From the words that were typed. Without any replacement string in them the line is appended.
    pub fn argv(words: &[OsString]) -> Template {
        let mut words: Vec<Word> = words.iter().map(|word| parse(word.as_bytes())).collect();
        if words.iter().all(is_fixed) {
            words.push(vec![Part::Line(Shape::Whole)]);
        }
        Template { prefix: Vec::new(), words, shell: false }
    }

    /// The same words as one text for the shell of this path.
    pub fn shell(sh: OsString, words: &[OsString]) -> Template {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let mut text = parse(&words.join(&b' '));
        if is_fixed(&text) {
            text.extend([Part::Text(b" ".to_vec()), Part::Line(Shape::Whole)]);
        }
        let fixed = |text: OsString| vec![Part::Text(text.into_vec())];
        Template { prefix: Vec::new(), words: vec![fixed(sh), fixed("-c".into()), text], shell: true }
    }

    /// Runs it by another program, whose words may have replacement strings of their own.
    #[must_use]
    pub fn run_by(mut self, words: &[OsString]) -> Template {
        self.prefix = words.iter().map(|word| parse(word.as_bytes())).collect();
        self
    }

    /// Whether all jobs start the same program.
    pub fn has_one_program(&self) -> bool {
        self.prefix.iter().chain(&self.words).next().is_none_or(is_fixed)
    }

    /// The words of one job.
    pub fn fill(&self, values: Values<'_>) -> Vec<OsString> {
        let plain = |word| OsString::from_vec(fill(word, values, false));
        let mut words: Vec<OsString> = self.prefix.iter().chain(&self.words).map(plain).collect();
        if self.shell
            && let (Some(last), Some(text)) = (words.last_mut(), self.words.last())
        {
            *last = OsString::from_vec(fill(text, values, true));
        }
        words
    }

    /// The command of one job as one would type it.
    pub fn typed(&self, values: Values<'_>) -> Vec<u8> {
        if self.shell {
            return self.words.last().map(|text| fill(text, values, true)).unwrap_or_default();
        }
        let words = self.words.iter().map(|word| quoted(&fill(word, values, false)));
        words.collect::<Vec<_>>().join(&b' ')
    }
}

fn is_fixed(word: &Word) -> bool {
    word.iter().all(|part| matches!(part, Part::Text(_)))
}

fn parse(mut rest: &[u8]) -> Word {
    let (mut parts, mut text) = (Vec::new(), Vec::new());
    while let Some((&first, after)) = rest.split_first() {
        if let Some((string, part)) = STRINGS.iter().find(|(string, _)| rest.starts_with(string)) {
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(part.clone());
            rest = &rest[string.len()..];
        } else {
            text.push(first);
            rest = after;
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    parts
}

fn fill(word: &Word, values: Values<'_>, quote: bool) -> Vec<u8> {
    let mut filled = Vec::new();
    for part in word {
        match part {
            Part::Text(text) => filled.extend_from_slice(text),
            Part::Line(shape) if quote => filled.extend(quoted(shaped(values.line, *shape))),
            Part::Line(shape) => filled.extend_from_slice(shaped(values.line, *shape)),
            Part::Number => filled.extend_from_slice(values.number.to_string().as_bytes()),
            Part::Slot => filled.extend_from_slice(values.slot.to_string().as_bytes()),
        }
    }
    filled
}

fn shaped(line: &[u8], shape: Shape) -> &[u8] {
    match shape {
        Shape::Whole => line,
        Shape::WithoutExtension => without_extension(line),
        Shape::Base => base(line),
        Shape::Directory => directory(line),
        Shape::BaseWithoutExtension => without_extension(base(line)),
    }
}

/// Up to the last dot, unless a slash follows it.
fn without_extension(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| matches!(byte, b'.' | b'/')) {
        Some(dot) if path[dot] == b'.' => &path[..dot],
        _ => path,
    }
}

fn base(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(path, |slash| &path[slash + 1..])
}

/// As dirname(1) has it.
fn directory(path: &[u8]) -> &[u8] {
    let trimmed = |path: &[u8]| path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let name = &path[..trimmed(path)];
    match name.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => match trimmed(&name[..slash]) {
            0 => b"/",
            end => &name[..end],
        },
        None if name.is_empty() && !path.is_empty() => b"/",
        None => b".",
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    fn values(line: &[u8]) -> Values<'_> {
        Values { line, number: 7, slot: 2 }
    }

    fn filled(typed: &[&str], line: &str) -> Vec<OsString> {
        Template::argv(&words(typed)).fill(values(line.as_bytes()))
    }

    #[test]
    fn each_replacement_string_means_what_it_does_to_gnu_parallel() {
        // What `parallel echo {.} {/} {//} {/.} ::: LINE` prints.
        for (line, expected) in [
            ("a/.b", ["a/", ".b", "a", ""]),
            ("a.", ["a", "a.", ".", "a"]),
            ("a.b.c", ["a.b", "a.b.c", ".", "a.b"]),
            ("a/b.c/d", ["a/b.c/d", "d", "a/b.c", "d"]),
            (".x", ["", ".x", ".", ""]),
            ("/", ["/", "", "/", ""]),
            ("a/", ["a/", "", ".", ""]),
            ("//a//b//", ["//a//b//", "", "//a", ""]),
        ] {
            assert_eq!(filled(&["{.}", "{/}", "{//}", "{/.}"], line), words(&expected), "{line}");
        }
        assert_eq!(filled(&["a{#}b{%}", "{1}{{}}{", "${}"], "x y"), words(&["a7b2", "{1}{x y}{", "$x y"]));
    }

    #[test]
    fn a_line_is_appended_where_no_word_has_a_place_for_it() {
        assert_eq!(filled(&["echo", "a"], "x"), words(&["echo", "a", "x"]));
        assert_eq!(filled(&["echo", "{#}"], "x"), words(&["echo", "7"]));
        let locked = Template::argv(&words(&["echo"])).run_by(&words(&["lock", "n-{}", "--"]));
        assert_eq!(locked.fill(values(b"x")), words(&["lock", "n-x", "--", "echo", "x"]));
        assert_eq!(locked.typed(values(b"x y")), b"echo 'x y'");
        let shell = Template::shell("/bin/sh".into(), &words(&["echo", "a b"]));
        assert_eq!(shell.fill(values(b"it's")), words(&["/bin/sh", "-c", r"echo a b 'it'\''s'"]));
        assert_eq!(shell.typed(values(b"$x")), b"echo a b '$x'");
    }

    #[test]
    fn one_program_for_all_or_one_for_each() {
        assert!(Template::argv(&words(&["echo", "{}"])).has_one_program());
        assert!(!Template::argv(&words(&["./{}.sh"])).has_one_program());
        assert!(Template::argv(&words(&["./{}.sh"])).run_by(&words(&["hardy"])).has_one_program());
    }

    proptest! {
        #[test]
        fn a_line_arrives_as_one_argument(line: Vec<u8>) {
            let template = Template::argv(&words(&["echo", "{}", "-{}-"]));
            let filled = template.fill(values(&line));
            prop_assert_eq!(filled[1].as_bytes(), &line);
            prop_assert_eq!(filled[2].as_bytes(), [b"-", line.as_slice(), b"-"].concat());
        }

        #[test]
        fn text_without_braces_stays(text in "[^{]*") {
            prop_assert_eq!(parse(text.as_bytes()).len(), usize::from(!text.is_empty()));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_shell_reads_back_what_was_quoted(line in prop::collection::vec(1u8.., 0..40)) {
            let template = Template::shell("sh".into(), &words(&["printf %s {}"]));
            let filled = template.fill(values(&line));
            let out = Command::new("sh").args(&filled[1..]).output().unwrap();
            prop_assert_eq!(OsStr::from_bytes(&out.stdout), OsStr::from_bytes(&line));
        }
    }
}
