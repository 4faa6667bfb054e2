//! The ports: what the roles need of the world, in the words of the domain.
//!
//! Every call is safe to repeat. A port never decides anything; it keeps, hands over and compares.

mod archive;
mod blobs;
mod inbox;
mod jobs;
mod journal;
mod keys;
mod live;
mod memory;
mod registry;
mod views;

pub use archive::{Archive, Retention};
pub use blobs::Blobs;
pub use inbox::{Inbox, Message};
pub use jobs::{Heard, Jobs, Offered, Queue};
pub use journal::{Entry, Journal, NewRun, OpenRun, OpenRuns};
pub use keys::{KeyValue, Keys};
pub use live::{Live, News, Subscription, Topic};
pub use memory::Memory;
pub use registry::{Change, Expect, Item, Registry};
pub use views::{
    ApprovalFilter, ApprovalRow, Delivery, DeliveryOutcome, Page, Paged, RunFilter, RunRow, Views,
};
