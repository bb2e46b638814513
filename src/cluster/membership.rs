//! What the processes of a cluster must have in common.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a process says of itself in the lobby. As JSON, so that other versions can read it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Membership {
    /// The version of the program.
    pub version: String,
    /// Which process this is, from 0.
    pub process: usize,
    /// How many there are.
    pub processes: usize,
    /// Worker threads of each.
    pub workers: usize,
    /// A digest of each part of the configuration that must be the same, by its name.
    pub settings: BTreeMap<String, u64>,
}

impl Membership {
    /// Why `other` can't belong to the same cluster; all reasons at once.
    pub fn difference(&self, other: &Membership) -> Option<String> {
        let mut reasons = Vec::new();
        if self.version != other.version {
            reasons.push(format!("it is version {}, this is {}", other.version, self.version));
        }
        if self.processes != other.processes {
            reasons.push(format!("it was started with --processes {}, this with {}", other.processes, self.processes));
        }
        if self.workers != other.workers {
            reasons.push(format!("it was started with --workers {}, this with {}", other.workers, self.workers));
        }
        if other.process >= self.processes || other.process == self.process {
            reasons.push(format!("it says it is process {}", other.process));
        }
        if self.version == other.version {
            let names = self.settings.keys().chain(other.settings.keys()).collect::<std::collections::BTreeSet<_>>();
            let differ = names.into_iter().filter(|name| self.settings.get(*name) != other.settings.get(*name));
            reasons.extend(differ.map(|name| format!("its {name} differs")));
        }
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn membership(process: usize) -> Membership {
        let settings = [("sampling", 7), ("roles", 3)].map(|(name, digest)| (name.to_owned(), digest));
        Membership { version: "1".into(), process, processes: 3, workers: 2, settings: settings.into() }
    }

    #[test]
    fn every_difference_is_named() {
        assert_eq!(membership(0).difference(&membership(2)), None);
        let mut other = membership(3);
        other.workers = 4;
        other.settings.insert("sampling".into(), 8);
        other.settings.remove("roles");
        let said = membership(0).difference(&other).unwrap();
        let expected =
            "it was started with --workers 4, this with 2; it says it is process 3; its roles differs; its sampling differs";
        assert_eq!(said, expected);
        other.version = "2".into();
        let said = membership(0).difference(&other).unwrap();
        assert!(said.starts_with("it is version 2, this is 1") && !said.contains("sampling"), "{said}");
    }
}
