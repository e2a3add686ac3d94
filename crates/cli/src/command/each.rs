//! The same for each of several names: all at once, told in the order given.

use futures_util::stream::{FuturesOrdered, StreamExt};

use super::Exit;
use crate::error::{Error, Result};
use crate::output;

/// How many calls are under way at most.
const AT_ONCE: usize = 50;

/// Calls `action` for each name and prints each name that succeeded.
///
/// # Errors
/// All failures together, after every name has had its turn.
pub(super) async fn name<'a, F>(
    names: &'a [String],
    mut action: impl FnMut(&'a str) -> F,
) -> Result<Exit>
where
    F: Future<Output = Result<()>>,
{
    print_if(names, |name| {
        let done = action(name);
        async { done.await.map(|()| true) }
    })
    .await
}

/// As [`name`]; a name for which the action yields false is not printed.
///
/// # Errors
/// As [`name`].
pub(super) async fn print_if<'a, F>(
    names: &'a [String],
    mut action: impl FnMut(&'a str) -> F,
) -> Result<Exit>
where
    F: Future<Output = Result<bool>>,
{
    let mut failures = Vec::new();
    for batch in names.chunks(AT_ONCE) {
        let mut running: FuturesOrdered<F> = batch.iter().map(|name| action(name)).collect();
        let mut batch = batch.iter();
        while let (Some(result), Some(name)) = (running.next().await, batch.next()) {
            match result {
                Ok(true) => output::line(name)?,
                Ok(false) => {}
                Err(error) => failures.push(error),
            }
        }
    }
    Error::all(&failures)?;
    Ok(Exit::SUCCESS)
}
