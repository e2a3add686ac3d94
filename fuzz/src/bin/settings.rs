//! Texts of other people's configuration: registries.conf, daemon.json, config.toml,
//! platforms, filters.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let mut config = registry::Config::new();
    drop(config.add_registries_conf(text));
    drop(config.add_daemon_json(text));
    drop(config.add_native(text));
    drop(oci::Platform::parse(text));
    if let Ok(filters) = docker_api::Filters::parse(text) {
        let again = docker_api::Filters::parse(&filters.to_json());
        assert_eq!(again.ok().map(|filters| filters.to_json()), Some(filters.to_json()));
    }
});
