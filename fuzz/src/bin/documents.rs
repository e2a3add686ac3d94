//! JSON documents of strangers: manifests, indexes, image configurations, runtime configurations.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 3 {
        0 => {
            if let Ok(manifest) = oci::manifest::Document::parse(bytes, None) {
                select(&manifest);
            }
        }
        1 => {
            if let Ok(config) = oci::image::ImageConfig::parse(bytes) {
                drop(config.platform());
                drop(oci::image::chain_ids(&config.rootfs.diff_ids));
            }
        }
        _ => drop(serde_json::from_slice::<oci::runtime::Spec>(bytes)),
    }
});

fn select(document: &oci::manifest::Document) {
    if let oci::manifest::Document::Index(index) = document {
        drop(index.select(&oci::Platform::host()).cloned());
        drop(index.platforms());
    }
}
