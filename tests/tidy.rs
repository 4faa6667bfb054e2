//! The habits of this project as tests: sizes, walls between the crates, words, documents, error codes.
//!
//! Sizes are a ratchet: what is over a limit today stands in `tests/tidy.ratchet` with its number, which may only
//! shrink. Each check is a function from text to complaints, so that a test beside it shows that it can fail.

#[path = "tidy/codes.rs"]
mod codes;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/goldens.rs"]
mod goldens;
#[path = "tidy/names.rs"]
mod names;
#[path = "tidy/proof.rs"]
mod proof;
#[path = "tidy/ratchet.rs"]
mod ratchet;
#[path = "tidy/size.rs"]
mod size;
#[path = "tidy/tree.rs"]
mod tree;
#[path = "tidy/walls.rs"]
mod walls;
#[path = "tidy/words.rs"]
mod words;

/// Fails with every complaint at once, so that one run of the test is enough to put all of them right.
#[track_caller]
fn nothing_to_say(complaints: &[String]) {
    assert!(
        complaints.is_empty(),
        "{} complaints:\n  {}\n",
        complaints.len(),
        complaints.join("\n  ")
    );
}
