//! Rows as they are measured, each beside its bound.

/// What a row may cost: a ratio to a peer, or an absolute figure.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    /// At most this many times the named peer's figure.
    Ratio(&'static str, f64),
    /// At most this many of the row's unit.
    Absolute(f64),
}

/// One finished measurement: ours and the peers', in `unit`.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) ours: f64,
    pub(super) peers: Vec<(&'static str, Option<f64>)>,
    pub(super) bounds: Vec<Bound>,
    pub(super) aim: Option<f64>,
}

/// Prints rows as they come and counts those over their bound.
#[derive(Debug)]
pub(super) struct Table {
    filter: Vec<String>,
    rows: usize,
    over: Vec<&'static str>,
}

impl Table {
    pub(super) fn new(filter: &[String]) -> Self {
        Self { filter: filter.to_vec(), rows: 0, over: Vec::new() }
    }

    /// Whether the row was asked for.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.filter.is_empty() || self.filter.iter().any(|word| name.contains(word.as_str()))
    }

    pub(super) fn add(&mut self, row: &Row) {
        self.rows += 1;
        println!("{}\n    brig {:.2} {}{}", row.name, row.ours, row.unit, aim(row));
        for (peer, figure) in &row.peers {
            match figure {
                Some(figure) => println!(
                    "    {peer} {figure:.2} {}   brig / {peer} = {:.3}",
                    row.unit,
                    row.ours / figure
                ),
                None => println!("    {peer} does not run here"),
            }
        }
        let verdicts: Vec<(String, bool)> =
            row.bounds.iter().filter_map(|b| judge(row, *b)).collect();
        for (text, within) in &verdicts {
            println!("    {} {text}", if *within { "ok  " } else { "OVER" });
        }
        if verdicts.iter().any(|(_, within)| !within) {
            self.over.push(row.name);
        }
    }

    pub(super) fn summary(&self) {
        println!("\n{} rows, {} over a bound", self.rows, self.over.len());
        for name in &self.over {
            println!("    over: {name}");
        }
    }
}

fn aim(row: &Row) -> String {
    row.aim.map_or_else(String::new, |aim| format!("   (aim {aim} {})", row.unit))
}

fn judge(row: &Row, bound: Bound) -> Option<(String, bool)> {
    match bound {
        Bound::Absolute(most) => Some((format!("at most {most} {}", row.unit), row.ours <= most)),
        Bound::Ratio(peer, most) => {
            let figure = row.peers.iter().find(|(name, _)| *name == peer)?.1?;
            let ratio = row.ours / figure;
            Some((format!("{ratio:.3} of {peer}, at most {most}"), ratio <= most))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bound, Row, judge};

    #[test]
    fn a_ratio_over_its_bound_is_told() {
        let row = Row {
            name: "run",
            unit: "ms",
            ours: 5.0,
            peers: vec![("runc", Some(10.0)), ("crun", None)],
            bounds: vec![],
            aim: None,
        };
        assert!(!judge(&row, Bound::Ratio("runc", 0.25)).unwrap().1);
        assert!(judge(&row, Bound::Ratio("runc", 0.5)).unwrap().1);
        assert!(judge(&row, Bound::Ratio("crun", 0.5)).is_none());
        assert!(judge(&row, Bound::Absolute(5.0)).unwrap().1);
    }
}
