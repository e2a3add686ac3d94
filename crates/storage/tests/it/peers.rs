//! Archives as GNU tar writes them, compared file by file with where they came from.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::World;

fn run(program: &str, arguments: &[&str]) {
    stdx::process::output(stdx::process::command(program).args(arguments)).unwrap();
}

fn make_tree(root: &Path) {
    fs::create_dir_all(root.join("dir/sub")).unwrap();
    fs::write(root.join("dir/file"), "content").unwrap();
    fs::write(root.join("dir/sub").join("n".repeat(200)), "long").unwrap();
    fs::hard_link(root.join("dir/file"), root.join("dir/sub/hard")).unwrap();
    symlink("t".repeat(150), root.join("dir/link")).unwrap();
    run("mkfifo", &[root.join("pipe").to_str().unwrap()]);
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    for position in 0..40_u64 {
        let block = [u8::try_from(position).unwrap() + 1; 4096];
        std::os::unix::fs::FileExt::write_all_at(&sparse, &block, position * (256 << 10)).unwrap();
    }
    sparse.set_len(12 << 20).unwrap();
    fs::File::create(root.join("hole")).unwrap().set_len(1 << 20).unwrap();
    fs::set_permissions(root.join("dir/sub"), fs::Permissions::from_mode(0o2711)).unwrap();
    std::os::unix::fs::lchown(root.join("dir/link"), Some(3_000_000), Some(7)).unwrap();
    std::os::unix::fs::chown(root.join("dir/sub"), Some(12), Some(3_000_000)).unwrap();
    fs::set_permissions(root.join("dir/sub"), fs::Permissions::from_mode(0o2711)).unwrap();
    let name = c"user.note";
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(root.join("dir/file"), name, b"kept", flags).unwrap();
}

/// Everything about each path that an archive keeps.
fn describe(root: &Path, with_fractions: bool) -> Vec<String> {
    let mut paths: Vec<PathBuf> = Vec::new();
    crate::walk(root, &mut paths);
    paths.sort();
    let lines = paths.iter().map(|path| {
        let metadata = path.symlink_metadata().unwrap();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let size = if metadata.is_dir() { 0 } else { metadata.len() };
        let content = match metadata.is_file() {
            true => oci::Digest::of(&fs::read(path).unwrap()).short().to_owned(),
            false => fs::read_link(path).map(|link| link.display().to_string()).unwrap_or_default(),
        };
        let fraction = if with_fractions { metadata.mtime_nsec() } else { 0 };
        let owner = (metadata.uid(), metadata.gid());
        let links = if metadata.is_dir() { 0 } else { metadata.nlink() };
        let time = (metadata.mtime(), fraction);
        format!("{name} {:o} {owner:?} {size} {time:?} {links} {content}", metadata.mode())
    });
    lines.collect()
}

#[test]
fn every_form_of_archive_that_gnu_tar_writes() {
    let source = tempfile::tempdir().unwrap();
    make_tree(source.path());
    let from = source.path().to_str().unwrap();
    for options in [
        &["--format=gnu"][..],
        &["--format=gnu", "--sparse"],
        &["--format=oldgnu", "--sparse"],
        &["--format=posix"],
        &["--format=posix", "--xattrs", "--sparse", "--sparse-version=0.0"],
        &["--format=posix", "--xattrs", "--sparse", "--sparse-version=0.1"],
        &["--format=posix", "--xattrs", "--sparse", "--sparse-version=1.0"],
    ] {
        let world = World::new();
        let archive = world.path().join("archive.tar");
        let mut arguments = vec!["-C", from, "--numeric-owner", "-cf", archive.to_str().unwrap()];
        arguments.extend(options);
        arguments.push(".");
        run("tar", &arguments);
        let root = world.layer(&fs::read(&archive).unwrap());
        let pax = options.contains(&"--format=posix");
        assert_eq!(describe(&root, pax), describe(source.path(), pax), "{options:?}");
        if options.contains(&"--sparse") {
            let blocks = root.join("sparse").metadata().unwrap().blocks();
            assert!(blocks * 512 < 1 << 20, "{options:?}: {blocks} blocks");
        }
        if options.contains(&"--xattrs") {
            let mut value = [0; 9];
            let length = rustix::fs::getxattr(root.join("dir/file"), c"user.note", &mut value[..]);
            assert_eq!(length, Ok(4));
        }
    }
}
