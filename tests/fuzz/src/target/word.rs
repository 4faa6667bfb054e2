//! Short texts with a form: ids, names, times, lengths of time, addresses.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use engine::digest::Digest;
use engine::duration::Duration;
use engine::expression::did_you_mean;
use engine::id::{ApprovalId, Nonce, RunId, Tenant, is_name, is_step_id};
use engine::manifest::ActionName;
use engine::principal::{Principal, Role};
use engine::time::Timestamp;
use proto::address::Address;

use crate::parts::text;

/// A text that is taken for each of them.
pub(crate) fn read(data: &[u8]) {
    let Some(text) = text(data) else {
        return;
    };
    prints::<Duration>(text);
    prints::<Timestamp>(text);
    prints::<RunId>(text);
    prints::<ApprovalId>(text);
    prints::<Nonce>(text);
    prints::<Digest>(text);
    prints::<ActionName>(text);
    prints::<Principal>(text);
    prints::<Role>(text);
    prints::<Address>(text);
    assert_eq!(Tenant::new(text).is_some(), is_name(text));
    let known = ["silence", "step", "inputs"];
    let near = did_you_mean(text, known.into_iter());
    assert!(near.is_none_or(|near| known.iter().any(|name| near.contains(name))));
    assert!(!is_step_id(text) || text.len() <= 63);
}

/// What a text means, its printed form means too.
fn prints<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let printed = value.to_string();
        assert_eq!(
            printed.parse::<T>().ok(),
            Some(value),
            "{text:?} prints as {printed:?}"
        );
    }
}
