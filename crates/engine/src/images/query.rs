//! Looking at images: list, inspect, history.

use std::sync::Arc;

use oci::Reference;
use storage::{ImageRecord, Store};

use super::image::moment;
use super::{HistoryLine, Image, ImageFilter, Images};
use crate::error::{Error, Result};

impl Images {
    /// All images that the filter lets through, newest first.
    ///
    /// # Errors
    /// When the records cannot be read; [`Error::NoSuchImage`] for the images a filter names.
    pub async fn list(&self, filter: &ImageFilter) -> Result<Vec<Image>> {
        let records = self.blocking("list", "images", |store: &Store| store.images().list());
        let mut images: Vec<Image> = records.await?.into_iter().map(Image::from).collect();
        let before = self.created(filter.before.as_deref()).await?;
        let since = self.created(filter.since.as_deref()).await?;
        images.retain(|image| {
            matches(image, filter)
                && before.is_none_or(|before| image.created < before)
                && since.is_none_or(|since| image.created > since)
        });
        images.sort_by(|one, other| {
            other.created.cmp(&one.created).then_with(|| one.id.cmp(&other.id))
        });
        Ok(images)
    }

    /// The image with this name, id or unique prefix of an id.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`], [`Error::AmbiguousPrefix`].
    pub async fn inspect(&self, name: &str) -> Result<Image> {
        self.find(name).await.map(Image::from)
    }

    /// How the image was made, newest step first.
    ///
    /// # Errors
    /// As [`Self::inspect`].
    pub async fn history(&self, name: &str) -> Result<Vec<HistoryLine>> {
        let image = self.inspect(name).await?;
        let diff_ids = image.diff_ids().to_vec();
        let sizes = self.blocking("look at", name, move |store: &Store| {
            let layers = diff_ids.iter().map(|diff_id| store.layers().get(diff_id));
            Ok(layers.map(|layer| layer.map_or(0, |layer| layer.size)).collect::<Vec<_>>())
        });
        Ok(history_lines(&image, &sizes.await?))
    }

    /// Gives an image a further name, which another image may lose.
    ///
    /// # Errors
    /// As [`Self::inspect`] for the source; [`Error::Invalid`] for a target with a digest.
    pub async fn tag(&self, source: &str, target: &Reference) -> Result<()> {
        if target.digest().is_some() {
            return Err(Error::Invalid(
                "refusing to create a tag with a digest reference".to_owned(),
            ));
        }
        let record = self.find(source).await?;
        let (id, name) = (record.id.clone(), target.clone());
        let shown = target.familiar();
        self.blocking("tag", &shown, move |store| store.images().tag(&id, &name)).await?;
        self.announce(crate::Action::Tag, record.id.as_str(), &shown);
        Ok(())
    }

    /// The record behind a name, in this room's error words.
    pub(super) async fn find(&self, name: &str) -> Result<ImageRecord> {
        let (store, text) = (Arc::clone(&self.store), name.to_owned());
        let found = self.tasks.spawn_blocking(move || store.images().resolve(&text)).await;
        match found {
            Ok(Ok(record)) => Ok(record),
            Ok(Err(storage::Error::NotFound { .. } | storage::Error::InvalidName { .. })) => {
                Err(Error::NoSuchImage(familiar(name)))
            }
            Ok(Err(storage::Error::Ambiguous { .. })) => {
                Err(Error::AmbiguousPrefix(name.to_owned()))
            }
            Ok(Err(error)) => {
                let kind = error.kind();
                Err(Error::failed("look up image", name, kind, error))
            }
            Err(_) => Err(Error::ShuttingDown),
        }
    }

    async fn created(&self, name: Option<&str>) -> Result<Option<Option<jiff::Timestamp>>> {
        match name {
            Some(name) => Ok(Some(self.inspect(name).await?.created)),
            None => Ok(None),
        }
    }
}

/// A name as it is quoted back to people: with its tag.
fn familiar(name: &str) -> String {
    Reference::parse(name).map_or_else(|_| name.to_owned(), |reference| reference.familiar())
}

fn history_lines(image: &Image, sizes: &[u64]) -> Vec<HistoryLine> {
    let mut sizes = sizes.iter().copied();
    let mut lines: Vec<HistoryLine> = image
        .config
        .history
        .iter()
        .map(|step| HistoryLine {
            created: moment(step.created.as_deref()),
            size: if step.empty_layer { 0 } else { sizes.next().unwrap_or(0) },
            step: step.clone(),
            id: None,
            tags: Vec::new(),
        })
        .collect();
    lines.reverse();
    if let Some(newest) = lines.first_mut() {
        newest.id = Some(image.id.clone());
        newest.tags.clone_from(&image.tags);
    }
    lines
}

fn matches(image: &Image, filter: &ImageFilter) -> bool {
    let labels = image.labels();
    filter.labels.iter().all(|wanted| match wanted.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
        None => labels.contains_key(wanted),
    }) && filter.dangling.is_none_or(|dangling| dangling == image.tags.is_empty())
        && (filter.references.is_empty()
            || filter.references.iter().any(|pattern| has_name(image, pattern)))
}

/// Whether a name of the image, with or without its tag or digest, fits the pattern.
fn has_name(image: &Image, pattern: &str) -> bool {
    image.tags.iter().chain(&image.digests).any(|name| {
        [name.familiar(), name.familiar_name(), name.to_string(), name.name()]
            .iter()
            .any(|text| fits(pattern.as_bytes(), text.as_bytes()))
    })
}

/// Shell patterns: `*` stands for anything but a slash, `?` for one such character.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            let end = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
            (0..=end).any(|skip| fits(rest, text.get(skip..).unwrap_or_default()))
        }
        (Some((b'?', rest)), Some((byte, text))) => *byte != b'/' && fits(rest, text),
        (Some((one, rest)), Some((other, text))) => one == other && fits(rest, text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn patterns_stop_at_slashes() {
        for (pattern, text, expected) in [
            ("alpine", "alpine", true),
            ("alp*", "alpine:3", true),
            ("*", "me/app", false),
            ("*/*", "me/app:1", true),
            ("alpine:?", "alpine:3", true),
            ("alpine:?", "alpine:33", false),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }
}
