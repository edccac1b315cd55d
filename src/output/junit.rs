//! The JUnit form of a report, for pipelines: one test case per thing that was looked at.

use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use crate::error::Error;

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

/// Renders the cases as one suite with the name of the command.
pub fn render(suite_name: &str, cases: &[Case]) -> Result<String, Error> {
    let mut suite = TestSuite::new(suite_name);
    for case in cases {
        let status = match &case.outcome {
            Outcome::Pass => TestCaseStatus::success(),
            Outcome::Fail { reason, message } => refused(NonSuccessKind::Failure, reason, message),
            Outcome::Error { reason, message } => refused(NonSuccessKind::Error, reason, message),
        };
        let mut test = TestCase::new(case.name.as_str(), status);
        test.set_classname(suite_name);
        test.set_time(case.time);
        suite.add_test_case(test);
    }
    let mut report = quick_junit::Report::new("hardy");
    report.add_test_suite(suite);
    report.to_string().map_err(|e| Error::unknown("cannot write the report as JUnit").because(e))
}

fn refused(kind: NonSuccessKind, reason: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(reason).set_message(message);
    status
}
