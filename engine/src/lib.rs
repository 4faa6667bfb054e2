//! The pure core of Mirastack: workflow language, run machine, policy, approvals.
//!
//! Nothing here waits, reads a clock, draws a random number, does I/O or logs: time, ids and facts are arguments, and
//! outputs are data. Given the same inputs, every machine computes the same outputs.
//!
//! | word | means | not |
//! |---|---|---|
//! | workflow | a definition: name, revision, digest, steps | pipeline, flow |
//! | run | one execution of a workflow | job, instance, execution |
//! | step | a node of a run's plan; comes into being by `StepAdded` alone | task, node |
//! | attempt | one try of a step; its number is the fence | retry |
//! | job | an attempt handed to a worker | task, message |
//! | command | something asked of a run, imperative | request |
//! | event | something decided about a run, past tense | log entry |
//! | record | the events of one decision, appended together, chained by hash | |
//! | journal | all records of a run | history, log |
//! | owed | what the state says must be done next | action, effect, outbox |
//! | facts | what the shell looked up for a decision | context |
//! | grant, intent | the owner's leave for one MODIFY/ADMIN call, and its record | |
//! | approval | the consent of people to one step's exact bytes | |
//! | question | what an agent that executes a step asks people; its answer grants nothing | approval of a call |
//!
//! Start reading at [`event`] (what can happen), then [`command`] (what can be asked).

pub mod approval;
pub mod code;
pub mod command;
pub mod definition;
pub mod digest;
pub mod duration;
pub mod event;
pub mod expression;
pub mod facts;
pub mod id;
pub mod job;
pub mod key;
pub mod language;
pub mod manifest;
pub mod plan;
#[cfg(planted)]
pub mod planted;
pub mod pool;
pub mod principal;
pub mod question;
pub mod record;
pub mod registry;
pub mod run;
pub mod schema;
mod shared;
pub mod time;
pub mod value;
pub mod yaml;

/// Whether a planted defect is in force: `false` in every build that is not made to show which test catches it.
#[macro_export]
macro_rules! planted {
    ($defect:tt) => {{
        #[cfg(planted = $defect)]
        {
            $crate::planted::is($defect)
        }
        #[cfg(not(planted = $defect))]
        {
            false
        }
    }};
}
