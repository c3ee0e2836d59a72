//! Which phases or arms of two results belong together: those with the same name.

use crate::result::{Document, Round, Workload};

/// The rounds of a phase or an arm on both sides.
#[derive(Debug)]
pub(super) struct Pair<'d> {
    pub(super) name: String,
    pub(super) old: &'d [Round],
    pub(super) new: &'d [Round],
    /// Both workloads in words, where they are not the same.
    pub(super) other_work: Option<(String, String)>,
}

/// Pairs, and names that only one side has.
#[derive(Debug)]
pub(super) struct Pairs<'d> {
    pub(super) both: Vec<Pair<'d>>,
    pub(super) only_old: Vec<String>,
    pub(super) only_new: Vec<String>,
}

/// One side of a pair.
struct Side<'d> {
    name: String,
    rounds: &'d [Round],
    workload: &'d Workload,
    settings: String,
}

/// Pairs phases with phases or arms with arms; the error says why there is nothing to pair.
pub(super) fn pairs<'d>(old: &'d Document, new: &'d Document) -> Result<Pairs<'d>, String> {
    if std::mem::discriminant(old) != std::mem::discriminant(new) {
        return Err(
            "one is a result of run and the other of compare: give two of the same command".to_owned()
        );
    }
    let (old, mut new) = (sides(old), sides(new));
    let mut pairs = Pairs { both: Vec::new(), only_old: Vec::new(), only_new: Vec::new() };
    for old in old {
        let Some(index) = new.iter().position(|new| new.name == old.name) else {
            pairs.only_old.push(old.name);
            continue;
        };
        let new = new.remove(index);
        let [before, after] = [&old, &new].map(work);
        let other_work = (before != after).then_some((before, after));
        pairs.both.push(Pair { name: old.name, old: old.rounds, new: new.rounds, other_work });
    }
    pairs.only_new = new.into_iter().map(|side| side.name).collect();
    if pairs.both.is_empty() {
        let list = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join("; ") };
        return Err(format!(
            "nothing was measured in both: the old result has {}, the new one {}",
            list(&pairs.only_old),
            list(&pairs.only_new)
        ));
    }
    Ok(pairs)
}

fn sides(document: &Document) -> Vec<Side<'_>> {
    match document {
        Document::Run(run) => {
            let phases = run.phases.iter().map(|phase| Side {
                name: phase.name.clone(),
                rounds: &phase.rounds,
                workload: &phase.workload,
                settings: serde_json::json!(phase.settings).to_string(),
            });
            phases.collect()
        }
        Document::Compare(comparison) => {
            let arms = comparison.rows.iter().flat_map(|row| {
                row.arms.iter().map(|arm| Side {
                    name: format!("{} / {}", row.name, arm.name),
                    rounds: &arm.rounds,
                    workload: &row.workload,
                    settings: serde_json::json!({ "version": arm.version, "settings": arm.settings })
                        .to_string(),
                })
            });
            arms.collect()
        }
    }
}

fn work(side: &Side<'_>) -> String {
    let Workload {
        name,
        operations,
        distribution,
        keys,
        key_bytes,
        value_bytes,
        from,
        threads,
        in_flight,
        batch,
    } = side.workload;
    format!(
        "{name} ({operations}, {distribution}), {keys} keys of {key_bytes} + {value_bytes} B, from {from}, \
         {threads} threads x {in_flight} in flight x batch {batch}, {}",
        side.settings
    )
}
