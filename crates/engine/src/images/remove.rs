//! Taking names from images, and deleting those that have none left.

use std::collections::HashSet;

use oci::{Digest, Reference};
use storage::{ImageRecord, Store};

use super::{ImageUser, Images, Removal, RemoveOptions};
use crate::Action;
use crate::error::{Error, Result};

impl Images {
    /// Takes a name from an image, and deletes the image with its last name. `users` says which
    /// containers were made from which image.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a container needs it, or an id has several names and there is no
    /// force; as [`Self::inspect`].
    pub async fn remove(
        &self,
        name: &str,
        options: RemoveOptions,
        users: &[ImageUser],
    ) -> Result<Vec<Removal>> {
        let record = self.find(name).await?;
        let users: Vec<&ImageUser> = users.iter().filter(|user| user.image == record.id).collect();
        let plan = plan(name, &record, options, &users)?;
        let mut removals = Vec::new();
        let id = record.id.clone();
        let chain = oci::image::chain_ids(&record.diff_ids());
        let layers: Vec<(Digest, Digest)> = record.diff_ids().into_iter().zip(chain).collect();
        for reference in &plan.untag {
            self.announce(Action::Untag, id.as_str(), &reference.familiar());
            removals.push(Removal::Untagged(reference.clone()));
        }
        let (deletes, keep_layers) = (plan.delete, options.keep_layers);
        let gone = self.blocking("remove", name, move |store: &Store| {
            apply(store, &record, &plan, &layers, keep_layers)
        });
        let gone = gone.await?;
        if deletes {
            self.announce(Action::Delete, id.as_str(), id.as_str());
            removals.push(Removal::Deleted(id));
            removals.extend(gone.into_iter().map(Removal::Deleted));
        }
        Ok(removals)
    }
}

/// What to do, all choices made.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// Names to take away.
    untag: Vec<Reference>,
    /// Whether the image goes too.
    delete: bool,
}

fn plan(
    name: &str,
    record: &ImageRecord,
    options: RemoveOptions,
    users: &[&ImageUser],
) -> Result<Plan> {
    let tags = record.names.iter().filter(|name| name.digest().is_none()).count();
    let Some(named) = named(name, record) else { return plan_by_id(record, options, users) };
    let last = match named.digest() {
        None => tags <= 1,
        Some(_) => record.names.len() <= 1,
    };
    if !last {
        return Ok(Plan { untag: vec![named], delete: false });
    }
    if let (Some(user), false) = (users.first(), options.force) {
        return Err(Error::Conflict(format!(
            "conflict: unable to remove repository reference \"{name}\" (must force) - container {} is using its referenced image {}",
            short(&user.container),
            record.id.short()
        )));
    }
    // With its last tag go the digests; the files stay as long as a container needs them.
    Ok(Plan { untag: record.names.clone(), delete: true })
}

fn plan_by_id(record: &ImageRecord, options: RemoveOptions, users: &[&ImageUser]) -> Result<Plan> {
    let id = record.id.short();
    if let Some(user) = users.iter().find(|user| user.running) {
        return Err(Error::Conflict(format!(
            "conflict: unable to delete {id} (cannot be forced) - image is being used by running container {}",
            short(&user.container)
        )));
    }
    let forced = options.force;
    if let (Some(user), false) = (users.first(), forced) {
        return Err(Error::Conflict(format!(
            "conflict: unable to delete {id} (must be forced) - image is being used by stopped container {}",
            short(&user.container)
        )));
    }
    let repositories: HashSet<String> = record.names.iter().map(Reference::name).collect();
    let tags = record.names.iter().filter(|name| name.digest().is_none()).count();
    if !forced && (repositories.len() > 1 || tags > 1) {
        return Err(Error::Conflict(format!(
            "conflict: unable to delete {id} (must be forced) - image is referenced in multiple repositories"
        )));
    }
    Ok(Plan { untag: record.names.clone(), delete: true })
}

/// The name of the image that the text is, unless the text is an id or the beginning of one.
fn named(text: &str, record: &ImageRecord) -> Option<Reference> {
    let reference = Reference::parse(text).ok()?;
    let exact = record.names.iter().find(|name| **name == reference);
    let digest = record.names.iter().find(|name| {
        name.name() == reference.name()
            && name.digest().is_some()
            && name.digest() == reference.digest()
    });
    exact.or(digest).cloned()
}

fn short(container: &str) -> &str {
    container.get(..12).unwrap_or(container)
}

/// Returns the chain ids of the layers that went with the image, topmost first.
fn apply(
    store: &Store,
    record: &ImageRecord,
    plan: &Plan,
    layers: &[(Digest, Digest)],
    keep_layers: bool,
) -> storage::Result<Vec<Digest>> {
    if !plan.delete {
        for name in &plan.untag {
            store.images().untag(name)?;
        }
        return Ok(Vec::new());
    }
    store.images().remove(&record.id)?;
    if keep_layers {
        return Ok(Vec::new());
    }
    // Snapshots of containers are not ours to judge: every one of them is kept.
    store.collect_garbage(&|_| true)?;
    let gone = layers.iter().rev().filter(|(diff_id, _)| !store.layers().has(diff_id));
    Ok(gone.map(|(_, chain)| chain.clone()).collect())
}

#[cfg(test)]
mod tests {
    use oci::manifest::Descriptor;
    use oci::{Digest, Reference};
    use storage::ImageRecord;

    use super::{Plan, plan};
    use crate::images::{ImageUser, RemoveOptions};

    fn record(names: &[&str]) -> ImageRecord {
        ImageRecord {
            id: Digest::of(b"id"),
            manifest: Descriptor::of("", b""),
            config: oci::image::ImageConfig::default(),
            layers: Vec::new(),
            size: 0,
            stored_at: String::new(),
            names: names.iter().map(|name| Reference::parse(name).unwrap()).collect(),
        }
    }

    fn decide(name: &str, names: &[&str], force: bool, running: Option<bool>) -> String {
        let record = record(names);
        let container = "c".repeat(64);
        let image = record.id.clone();
        let user = running.map(|running| ImageUser { container, image, running });
        let users: Vec<&ImageUser> = user.iter().collect();
        let options = RemoveOptions { force, keep_layers: false };
        match plan(name, &record, options, &users) {
            Ok(Plan { untag, delete }) => {
                let names: Vec<String> = untag.iter().map(Reference::familiar).collect();
                format!("{}{}", names.join(" "), if delete { " delete" } else { "" })
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn names_go_one_by_one_and_the_image_with_the_last() {
        assert_eq!(decide("a", &["a", "b"], false, None), "a:latest");
        assert_eq!(decide("a", &["a"], false, None), "a:latest delete");
        let digest = format!("a@{}", Digest::of(b"m"));
        let both = ["a", digest.as_str()];
        assert_eq!(decide("a", &both, false, None), format!("a:latest {digest} delete"));
        assert_eq!(decide(&digest, &both, false, None), digest);
    }

    #[test]
    fn containers_hold_their_image() {
        let text = decide("a", &["a"], false, Some(false));
        let id = Digest::of(b"id");
        assert_eq!(
            text,
            format!(
                "conflict: unable to remove repository reference \"a\" (must force) - container cccccccccccc is using its referenced image {}",
                id.short()
            )
        );
        assert_eq!(decide("a", &["a"], true, Some(false)), "a:latest delete");
        assert_eq!(decide("a", &["a", "b"], false, Some(true)), "a:latest");
        let by_id = |force, running| decide(id.short(), &["a"], force, running);
        assert!(by_id(false, Some(false)).contains("(must be forced)"));
        assert!(by_id(true, Some(true)).contains("(cannot be forced)"));
        assert_eq!(by_id(true, Some(false)), "a:latest delete");
    }

    #[test]
    fn an_id_with_several_names_needs_force() {
        let id = Digest::of(b"id");
        let text = decide(id.short(), &["a", "b"], false, None);
        assert!(text.ends_with("image is referenced in multiple repositories"), "{text}");
        assert_eq!(decide(id.short(), &["a", "b"], true, None), "a:latest b:latest delete");
    }
}
