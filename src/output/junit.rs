//! The JUnit form of a report, for pipelines: suites with one test case per thing that was looked at.

use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use crate::error::Error;

/// Test cases that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Suite {
    /// What they are about.
    pub name: String,
    /// One after the other.
    pub cases: Vec<Case>,
}

/// One test case.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What was looked at.
    pub name: String,
    /// How long that took.
    pub time: Duration,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a test case.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// As it should be.
    Pass,
    /// Was not looked at, or does not count.
    Skip {
        /// For people.
        message: String,
    },
    /// Not as it should be: a stable id of the reason, and what was seen.
    Fail {
        /// Stable id.
        reason: String,
        /// For people.
        message: String,
    },
    /// Could not be found out.
    Error {
        /// Stable id.
        reason: String,
        /// For people.
        message: String,
    },
}

/// Renders the suites as one document.
pub fn render(suites: &[Suite]) -> Result<String, Error> {
    let mut report = quick_junit::Report::new("hardy");
    report.add_test_suites(suites.iter().map(suite));
    report.to_string().map_err(|e| Error::unknown("cannot write the report as JUnit").because(e))
}

fn suite(suite: &Suite) -> TestSuite {
    let mut rendered = TestSuite::new(suite.name.as_str());
    for case in &suite.cases {
        let status = match &case.outcome {
            Outcome::Pass => TestCaseStatus::success(),
            Outcome::Skip { message } => {
                let mut status = TestCaseStatus::skipped();
                status.set_message(message.as_str());
                status
            }
            Outcome::Fail { reason, message } => refused(NonSuccessKind::Failure, reason, message),
            Outcome::Error { reason, message } => refused(NonSuccessKind::Error, reason, message),
        };
        let mut test = TestCase::new(case.name.as_str(), status);
        test.set_classname(suite.name.as_str());
        test.set_time(case.time);
        rendered.add_test_case(test);
    }
    rendered
}

fn refused(kind: NonSuccessKind, reason: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(reason).set_message(message);
    status
}
