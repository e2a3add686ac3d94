//! What the `prune` commands share: the question before and the sum after.

use std::io::BufRead;

use crate::error::Result;
use crate::output;

/// Asks whether to go on; anything but yes is no.
///
/// # Errors
/// When standard output takes no more.
pub(super) fn confirmed(warning: &str) -> Result<bool> {
    output::write(&format!("WARNING! {warning}\nAre you sure you want to continue? [y/N] "))?;
    let mut answer = String::new();
    // No answer is no.
    drop(std::io::stdin().lock().read_line(&mut answer));
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Prints what was removed under a heading, and the space it took.
///
/// # Errors
/// When standard output takes no more.
pub(super) fn report(heading: &str, removed: &[String], reclaimed: u64) -> Result<()> {
    if !removed.is_empty() {
        output::write(&format!("{heading}:\n{}\n\n", removed.join("\n")))?;
    }
    let size = output::human_size(i64::try_from(reclaimed).unwrap_or(i64::MAX));
    Ok(output::line(format!("Total reclaimed space: {size}"))?)
}
