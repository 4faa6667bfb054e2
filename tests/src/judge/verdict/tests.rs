use super::*;

/// Two errands as they should go: each asked before and after its silence, one of the queries repeated before its step
/// was shown.
fn good() -> Observations {
    let errand = |name: &str, id: &str, [before, after]: [usize; 2]| Errand {
        name: name.to_owned(),
        accepted: vec![id.to_owned()],
        status: Some("succeeded".to_owned()),
        ended_at: Some(format!("the end of {name}")),
        asked_again: None,
        consented: Some(format!("approval-of-{name}")),
        silence: Some(format!("silence-of-{name}")),
        shown: vec![
            shown(&format!("{name}_before"), before),
            shown(&format!("{name}_after"), after),
        ],
        last: String::new(),
    };
    let stored = |errand: &str, id: &str| Stored {
        errand: errand.to_owned(),
        id: id.to_owned(),
        ended_at: Some(format!("the end of {errand}")),
    };
    let queries = ["a_before", "b_before", "b_before", "a_after", "b_after"];
    Observations {
        errands: vec![errand("a", "1", [1, 4]), errand("b", "2", [3, 5])],
        stored: vec![stored("a", "1"), stored("b", "2")],
        queries: queries.map(str::to_owned).to_vec(),
        silences: vec![silence("a", "silence-of-a"), silence("b", "silence-of-b")],
    }
}

fn shown(query: &str, at: usize) -> Shown {
    Shown {
        query: query.to_owned(),
        at,
    }
}

fn silence(errand: &str, id: &str) -> Silence {
    Silence {
        errand: errand.to_owned(),
        id: id.to_owned(),
    }
}

/// The only complaint about the good day with one thing changed.
fn complaint(change: impl FnOnce(&mut Observations)) -> String {
    let mut seen = good();
    change(&mut seen);
    let complaints = verdict(&seen);
    let [complaint] = complaints.as_slice() else {
        panic!("one complaint, not {complaints:?}");
    };
    complaint.to_string()
}

#[test]
fn nothing_is_wrong_with_a_good_day() {
    assert_eq!(verdict(&good()), []);
}

#[test]
fn a_second_silence_is_found() {
    let said = complaint(|seen| seen.silences.push(silence("b", "another")));
    assert_eq!(
        said,
        r#"b has not one silence but ["silence-of-b", "another"]"#
    );
}

#[test]
fn a_silence_that_was_never_made_is_found() {
    let said = complaint(|seen| drop(seen.silences.pop()));
    assert_eq!(said, "b has not one silence but []");
}

#[test]
fn a_silence_that_the_run_does_not_know_is_found() {
    let said = complaint(|seen| seen.silences[0].id = "another".to_owned());
    assert!(said.contains("names the silence silence-of-a"), "{said}");
}

#[test]
fn a_query_that_is_repeated_after_its_step_was_shown_succeeded_is_found() {
    let said = complaint(|seen| seen.queries.push("a_before".to_owned()));
    assert!(said.starts_with("a_before appeared again, as number 5"));
}

#[test]
fn a_step_that_succeeded_without_its_query_is_found() {
    let said = complaint(|seen| drop(seen.queries.pop()));
    assert!(said.starts_with("the step of b_after was shown succeeded"));
}

#[test]
fn a_run_that_does_not_end_is_found() {
    let said = complaint(|seen| seen.errands[0].status = None);
    assert!(said.starts_with("a got a 202 and its run did not end"));
}

#[test]
fn a_run_that_ends_badly_is_found() {
    let said = complaint(|seen| seen.errands[0].status = Some("failed".to_owned()));
    assert!(said.starts_with("the run of a did not succeed"), "{said}");
}

#[test]
fn a_run_that_ends_again_after_its_end_was_told_is_found() {
    let said = complaint(|seen| seen.stored[0].ended_at = Some("later".to_owned()));
    assert!(
        said.ends_with("told that its run ended at the end of a, and it ended at Some(\"later\")"),
        "{said}"
    );
}

#[test]
fn a_consent_that_is_asked_for_again_after_it_was_taken_is_found() {
    let said = complaint(|seen| seen.errands[0].asked_again = Some("another".to_owned()));
    assert_eq!(
        said,
        "a had consented to approval-of-a and was asked again, by another"
    );
}

#[test]
fn a_client_that_is_never_accepted_is_found() {
    let mut seen = good();
    seen.errands[0].accepted.clear();
    let complaints = verdict(&seen);
    let never =
        |c: &Complaint| matches!(c, Complaint::NeverAccepted { errand, .. } if errand == "a");
    assert!(complaints.iter().any(never), "{complaints:?}");
}

#[test]
fn two_runs_for_a_key_are_found_whoever_knows_of_them() {
    let wanted = r#"b has not one run but {"2", "3"}"#;
    let told = complaint(|seen| seen.errands[1].accepted.push("3".to_owned()));
    assert_eq!(told, wanted);
    let another = Stored {
        errand: "b".to_owned(),
        id: "3".to_owned(),
        ended_at: None,
    };
    assert_eq!(complaint(|seen| seen.stored.push(another)), wanted);
}

#[test]
fn a_run_that_was_accepted_and_is_gone_is_found() {
    let said = complaint(|seen| drop(seen.stored.pop()));
    assert_eq!(said, r#"b has not one run but {"2"}"#);
}

#[test]
fn a_run_that_nobody_asked_for_is_found() {
    let another = Stored {
        errand: "c".to_owned(),
        id: "3".to_owned(),
        ended_at: None,
    };
    let said = complaint(|seen| seen.stored.push(another));
    assert_eq!(said, r#"c has not one run but {"3"}"#);
}

#[test]
fn only_what_was_accepted_and_is_gone_is_a_loss() {
    let is_loss = |change: &dyn Fn(&mut Observations)| {
        let mut seen = good();
        change(&mut seen);
        let complaints = verdict(&seen);
        assert!(!complaints.is_empty());
        complaints.iter().any(Complaint::is_loss)
    };
    assert!(is_loss(&|seen| drop(seen.stored.pop())));
    assert!(is_loss(&|seen| seen.errands[0].status = None));
    assert!(is_loss(&|seen| seen.stored[0].ended_at = None));
    assert!(is_loss(&|seen| {
        seen.errands[0].asked_again = Some("another".to_owned());
    }));
    assert!(!is_loss(&|seen| {
        seen.errands[0].status = Some("failed".to_owned());
    }));
    assert!(!is_loss(&|seen| {
        seen.errands[1].accepted.clear();
        seen.errands[1].ended_at = None;
        seen.stored.pop();
    }));
    assert!(!is_loss(&|seen| drop(seen.silences.pop())));
    assert!(!is_loss(&|seen| seen.queries.push("a_before".to_owned())));
}
