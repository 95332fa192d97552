use super::*;

#[test]
fn a_directory_with_something_in_it_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mine"), "").unwrap();
    assert!(Place::prepare(Some(dir.path())).is_err());
    let fresh = dir.path().join("new/one");
    let place = Place::prepare(Some(&fresh)).unwrap();
    assert_eq!(place.path(), fresh);
    place.finish().unwrap();
    assert!(fresh.is_dir());
}

#[test]
fn a_temporary_directory_is_removed_at_the_end() {
    let place = Place::prepare(None).unwrap();
    let path = place.path().to_owned();
    assert!(path.is_dir());
    place.finish().unwrap();
    assert!(!path.is_dir());
}

#[tokio::test]
async fn waiting_ends_when_a_program_dies() {
    let dir = tempfile::tempdir().unwrap();
    let command = tokio::process::Command::new("/bin/false");
    let mut children = vec![Child::start("fleet", command, dir.path()).unwrap()];
    let waited = wait_for::<()>(&mut children, "the simulated servers", || None).await;
    assert_eq!(
        waited.unwrap_err().to_string(),
        "fleet ended too soon (exit status: 1)"
    );
}
