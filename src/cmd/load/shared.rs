//! A run behind a breaker of the store.

use std::convert::Infallible;

use tokio::sync::mpsc::unbounded_channel;

use super::run::once;
use super::settings::Prepared;
use crate::app::App;
use crate::circuit::{Circuit, Trouble};
use crate::cmd::breakers::refused;
use crate::cmd::store::failed;
use crate::error::Error;
use crate::load::guard::WhenOpen;
use crate::load::outcome::Outcome;
use crate::load::run::Judge;
use crate::load::shared::{Closed, start};
use crate::units::counted;

/// Runs it to its end, and tells the breaker all of it.
pub async fn run(
    run: &Prepared,
    (circuit, when_open, without_store): (Circuit, WhenOpen, bool),
    judge: impl Judge,
    app: &App,
) -> Result<Outcome, Error> {
    let name = circuit.name().clone();
    let (troubles, mut troubled) = unbounded_channel::<Trouble>();
    let begin = async {
        start(circuit, when_open, without_store, troubles).await.map_err(|closed| match closed {
            Closed::Refused(refusal) => Error::refused(refused(&name, refusal)),
            Closed::Unavailable(error) => failed(error).within(&format!("the breaker {name}")),
        })
    };
    let (guard, desk) = app.unless_interrupted(begin).await?;
    let telling = async {
        while let Some(trouble) = troubled.recv().await {
            app.console.warn(&trouble.to_string());
        }
        std::future::pending::<Infallible>().await
    };
    let working = async {
        let outcome = once(run, (guard, judge), app).await?;
        Ok::<_, Error>((desk.finish(&outcome.totals).await, outcome))
    };
    let (uncounted, outcome) = tokio::select! {
        done = working => done?,
        never = telling => match never {},
    };
    while let Ok(trouble) = troubled.try_recv() {
        app.console.warn(&trouble.to_string());
    }
    if uncounted > 0 {
        let requests = counted(uncounted, "request");
        app.console.warn(&format!("the breaker {name} may not have counted {requests}"));
    }
    Ok(outcome)
}
