//! Random operations on an arm, each answer held against a model, and all answers in one hash: two arms that did the
//! same say the same.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::Xxh3;

use super::arm::Arm;
use super::drive::keys::Keys;
use super::spec::{Answer, Data};
use crate::failure::Failure;
use crate::load::distribution::Distribution;
use crate::load::record::write_value;
use crate::load::rng::Rng;

/// Keys of one multi-get, at most.
const BATCH_MAX: u64 = 32;

/// Does so many operations over so many keys.
pub(super) fn run(
    arm: &dyn Arm,
    data: Data,
    seed: u64,
    operations: u64,
    keys: u64,
) -> Result<Answer, Failure> {
    let mut script = Script {
        arm,
        names: Keys::new(data, Distribution::Uniform, 0),
        model: BTreeMap::new(),
        digest: Xxh3::new(),
        checked: 0,
        wrong: 0,
    };
    let mut rng = Rng::new(seed);
    let value_bytes = usize::try_from(data.value_bytes).unwrap_or(usize::MAX);
    for version in 0..operations {
        let number = rng.below(keys);
        match rng.below(1000) {
            0..400 => script.read(&[number])?,
            400..550 => {
                let mut numbers: Vec<u64> = (0..=rng.below(BATCH_MAX)).map(|_| rng.below(keys)).collect();
                numbers.sort_unstable();
                numbers.dedup();
                script.read(&numbers)?;
            }
            550..850 => {
                let mut value = Vec::new();
                write_value(&mut value, number, version, value_bytes);
                let key = script.key(number);
                arm.write(&[key], std::slice::from_ref(&value))?;
                script.model.insert(number, value);
            }
            850..999 => {
                arm.delete(&script.key(number))?;
                script.model.remove(&number);
            }
            _ => arm.settle()?,
        }
    }
    script.read(&(0..keys).collect::<Vec<_>>())?;
    let digest = format!("{:016x}", script.digest.digest());
    Ok(Answer::Script { checked: script.checked, wrong: script.wrong, digest })
}

struct Script<'r> {
    arm: &'r dyn Arm,
    names: Keys,
    model: BTreeMap<u64, Vec<u8>>,
    digest: Xxh3,
    checked: u64,
    wrong: u64,
}

impl Script<'_> {
    fn key(&self, number: u64) -> Vec<u8> {
        let mut key = Vec::new();
        self.names.key(&mut key, number);
        key
    }

    fn read(&mut self, numbers: &[u64]) -> Result<(), Failure> {
        let keys: Vec<Vec<u8>> = numbers.iter().map(|number| self.key(*number)).collect();
        let mut seen = 0;
        let Self { arm, model, digest, checked, wrong, .. } = self;
        arm.read(&keys, &mut |place, value| {
            seen += 1;
            *checked += 1;
            let expected = numbers.get(place).and_then(|number| model.get(number)).map(Vec::as_slice);
            *wrong += u64::from(expected != value);
            digest.update(value.unwrap_or(b"none"));
        })?;
        // An answer that does not come is wrong too.
        *wrong += (keys.len() as u64).saturating_sub(seen);
        Ok(())
    }
}
