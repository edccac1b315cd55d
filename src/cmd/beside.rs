//! A small HTTP server beside the work of a command: metrics, a stream.

use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::app::App;
use crate::error::Error;
use crate::serve::{self, Address, Content, Limits, Settings};

/// Who reads metrics, or looks at a dashboard, needs few connections.
pub const READERS: usize = 64;

/// A reader that takes nothing for so long is cut off.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves this until the handle is dropped, and says where: `what` is at `path`.
///
/// # Errors
/// The address cannot be used.
pub async fn serve(
    address: &Address,
    content: Content,
    (what, path): (&str, &str),
    app: &App,
) -> Result<AbortOnDropHandle<()>, Error> {
    // Some more, so that one too many can be told so.
    let limits = Limits { connections: 2 * READERS, write_timeout: PATIENCE, ..Limits::default() };
    let server = serve::bind(Settings::beside(address.clone(), content, limits), None).await;
    let server = server.map_err(|error| match error {
        serve::Error::Bind { .. } => {
            Error::usage(error.to_string()).hint("stop the other program, or choose another address")
        }
        other => other.into(),
    })?;
    for bound in server.addresses() {
        app.console.note(&format!("{what} on {}{path}", bound.url));
        if bound.routable {
            app.console.note("note: other hosts can reach this address");
        }
    }
    let (_, reload) = unbounded_channel();
    let serving = async move {
        server.run(CancellationToken::new(), reload, None).await;
    };
    Ok(AbortOnDropHandle::new(tokio::spawn(serving)))
}
