//! One process per data directory.

use steelyard_store::{DataDir, StoreError};

use crate::child;

#[test]
fn a_second_process_is_refused_until_the_first_is_gone() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = DataDir::open(temporary.path()).unwrap();
    let run = || {
        let output =
            child::start(child::command("lock::second", temporary.path(), None)).wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let refused = run();
    let path = temporary.path().canonicalize().unwrap();
    assert!(refused.contains("refused: the data directory"), "{refused}");
    assert!(refused.contains(path.to_str().unwrap()), "{refused}");
    drop(dir);
    assert!(run().contains("has it"));
}

#[test]
#[ignore = "the child of a_second_process_is_refused_until_the_first_is_gone"]
fn second() {
    match DataDir::open(&child::dir()) {
        Ok(_) => child::tell("has it"),
        Err(error @ StoreError::InUse { .. }) => child::tell(&format!("refused: {error}")),
        Err(error) => panic!("{error}"),
    }
}
