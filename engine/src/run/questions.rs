//! `Ask`: an agent that executes a step asks people, and waits. The answer is a word for the agent, and grants nothing.
//!
//! A question is bound to the words: the same step that asks the same again, in whatever attempt, is told what people
//! have said already, be it yes or no. What nobody has said by then is asked anew.

use crate::code::Code;
use crate::digest::Digest;
use crate::duration::Duration;
use crate::event::{ApprovalState, Decision, Event, QuestionAsked, RunStatus};
use crate::facts::Rejection;
use crate::id::{ApprovalId, Attempt, StepNo};
use crate::principal::Permission;
use crate::question::{ASKED_MAX, BYTES_MAX, Question as Bytes, TYPE, Words};
use crate::run::asking::{Put, made};
use crate::run::draft::{Decided, Draft};
use crate::run::state::{At, Question, State, Step, Steps};
use crate::time::Timestamp;

impl Draft<'_> {
    pub(super) fn ask_people(
        &mut self,
        no: StepNo,
        attempt: Attempt,
        words: &Words,
        within_ms: u64,
    ) -> Decided {
        let step = self.state.steps.get(no).ok_or(Rejection::Stale)?;
        if !self.state.executes(step, attempt) || self.head().parked.is_some() || self.head().halted
        {
            return Err(Rejection::Stale);
        }
        let said = words.digest();
        if step.answered(said, attempt).is_some() {
            return Ok(());
        }
        if words.permission == Permission::Read {
            let message = "a READ needs nobody's consent";
            return Err(Rejection::refused(Code::Conflict, message));
        }
        if step.questions.len() >= ASKED_MAX {
            let message = format!("the step has asked people {ASKED_MAX} things already");
            return Err(Rejection::refused(Code::Limit, message));
        }
        let question = self.question(no, attempt, words, within_ms);
        let bytes = question.bytes();
        if bytes.len() > BYTES_MAX {
            let message = "what an agent asks people is at most 1 MiB";
            return Err(Rejection::refused(Code::Limit, message));
        }
        let bytes = self.keep(made(bytes));
        self.emit(Event::QuestionAsked(Box::new(QuestionAsked {
            step: no,
            attempt,
            asking: question.asking,
            bytes,
            said,
            permission: words.permission,
            not_requester: question.not_requester,
            expires_at: question.expires_at,
        })));
        Ok(())
    }

    fn question(&self, no: StepNo, attempt: Attempt, words: &Words, within_ms: u64) -> Bytes {
        let step = self.step(no);
        let created = &self.head().created;
        let call = step.call.as_deref().expect("an executed step is prepared");
        let within = Duration::from_millis(within_ms.min(call.timeout_ms));
        Bytes {
            kind: TYPE.to_owned(),
            tenant: self.head().key.tenant.clone(),
            run: self.head().key.run,
            step: step.name.clone(),
            asking: step.next_asking(),
            attempt,
            action: created.actions[call.action as usize].name.clone(),
            workflow: created.workflow.clone(),
            requester: created.requester.clone(),
            words: words.clone(),
            not_requester: self.facts.not_requester,
            expires_at: self.now.plus(within),
        }
    }

    /// `Decide`, of a question: one person's word is enough.
    pub(super) fn answer(&mut self, id: &ApprovalId, decision: Decision) -> Decided {
        let Some(question) = self.state.question(id) else {
            return Ok(());
        };
        let put = Put::of_question(question);
        self.check_may(&put, &decision, |role| role.may_approve(put.permission))?;
        let state = if decision.approve {
            ApprovalState::Approved
        } else {
            ApprovalState::Rejected
        };
        self.emit(Event::QuestionClosed {
            step: id.step,
            asking: id.asking,
            state,
            decision: Some(decision),
            reason: None,
        });
        Ok(())
    }

    /// Closes what nobody has answered in time.
    pub(super) fn expire_questions(&mut self) {
        let now = self.now;
        let late = |q: &Question| q.asked.expires_at <= now;
        self.close_questions(late, ApprovalState::Expired, None);
    }

    /// Before `event`: takes back the questions whose agent does not listen any more once it has happened.
    pub(super) fn silence(&mut self, event: &Event) {
        if crate::planted!("question_outlives_attempt") {
            return;
        }
        let reason = match silenced(event) {
            Silenced::Nobody => return,
            Silenced::Step(no) => {
                let of = move |q: &Question| q.asked.step == no;
                let reason = "the attempt that asked is over".to_owned();
                return self.close_questions(of, ApprovalState::Withdrawn, Some(reason));
            }
            Silenced::All(reason) => reason,
        };
        self.close_questions(|_| true, ApprovalState::Withdrawn, Some(reason));
    }

    fn close_questions(
        &mut self,
        which: impl Fn(&Question) -> bool,
        state: ApprovalState,
        reason: Option<String>,
    ) {
        let open: Vec<(StepNo, u32)> = self.head().questions.iter().copied().collect();
        for (step, asking) in open {
            let question = self.state.steps.get(step).and_then(|s| s.question(asking));
            if question.is_some_and(&which) {
                let reason = reason.clone();
                self.emit(Event::QuestionClosed {
                    step,
                    asking,
                    state,
                    decision: None,
                    reason,
                });
            }
        }
    }
}

/// Whose questions nobody listens for any more.
enum Silenced {
    Nobody,
    /// Those of one step: its attempt is over.
    Step(StepNo),
    /// Those of the whole run, which stops.
    All(String),
}

fn silenced(event: &Event) -> Silenced {
    match event {
        Event::AttemptNotCalled { step, .. }
        | Event::AttemptLost { step, .. }
        | Event::AttemptFailed { step, .. }
        | Event::SettlementScheduled { step, .. }
        | Event::StepInDoubt { step, .. }
        | Event::StepSucceeded { step, .. }
        | Event::StepEnded { step, .. } => Silenced::Step(*step),
        Event::CancelRequested { code, .. } => Silenced::All(code.clone()),
        Event::RunTimedOut => Silenced::All(Code::Timeout.as_str().to_owned()),
        Event::RunStopping { failure, .. } => Silenced::All(failure.code.clone()),
        Event::RunEnded { status, .. } => Silenced::All(RunStatus::as_str(*status).to_owned()),
        Event::RunCreated(_)
        | Event::RunStarted { .. }
        | Event::StepAdded { .. }
        | Event::StepSkipped { .. }
        | Event::WaitStarted { .. }
        | Event::FanOutOpened { .. }
        | Event::StepPrepared { .. }
        | Event::ApprovalRequested(_)
        | Event::ApprovalDecided { .. }
        | Event::ApprovalClosed { .. }
        | Event::AttemptDispatched { .. }
        | Event::AttemptGranted { .. }
        | Event::RetryScheduled { .. }
        | Event::LookUpDispatched { .. }
        | Event::StepResolved { .. }
        | Event::SectionEntered { .. }
        | Event::RunParked { .. }
        | Event::RunResumed { .. }
        | Event::RunRestored { .. }
        | Event::QuestionAsked(_)
        | Event::QuestionClosed { .. } => Silenced::Nobody,
    }
}

impl<S: Steps> State<S> {
    /// Whether an agent may be executing this attempt now: a READ that was handed out, a change that was granted.
    fn executes(&self, step: &Step, attempt: Attempt) -> bool {
        let may_run = matches!(step.at, At::Granted { .. }) || !self.changes(step);
        step.at.attempt() == Some((attempt, false)) && may_run
    }

    /// The question of that id.
    #[must_use]
    pub fn question(&self, id: &ApprovalId) -> Option<&Question> {
        let step = self.steps.get(id.step)?;
        (self.head.key.run == id.run).then(|| step.question(id.asking))?
    }

    pub(super) fn asked_people(&mut self, asked: &QuestionAsked, at: Timestamp) {
        self.head.touched = true;
        self.head.questions.insert((asked.step, asked.asking));
        if let Some(step) = self.steps.get_mut(asked.step) {
            step.questions.push(Question {
                asked: asked.clone(),
                at,
                state: ApprovalState::Pending,
                decision: None,
                reason: None,
            });
        }
    }

    pub(super) fn question_closed(&mut self, event: &Event, at: Timestamp) {
        let Event::QuestionClosed {
            step,
            asking,
            state,
            decision,
            reason,
        } = event
        else {
            return;
        };
        self.head.questions.remove(&(*step, *asking));
        let step = self.steps.get_mut(*step);
        let questions = step.into_iter().flat_map(|s| &mut s.questions);
        for question in questions.filter(|q| q.asked.asking == *asking) {
            question.state = *state;
            question.decision = decision.clone().map(|decision| (decision, at));
            question.reason.clone_from(reason);
        }
    }

    /// When the first question expires.
    pub(super) fn questions_due(&self) -> Option<Timestamp> {
        let open = self.head.questions.iter();
        let open = open.filter_map(|(step, asking)| self.steps.get(*step)?.question(*asking));
        open.map(|question| question.asked.expires_at).min()
    }
}

impl Step {
    /// The question of that number.
    #[must_use]
    pub fn question(&self, asking: u32) -> Option<&Question> {
        self.questions.iter().find(|q| q.asked.asking == asking)
    }

    /// What stands about these words: what people have said in any attempt, or what this one waits or has waited for.
    #[must_use]
    pub fn answered(&self, said: Digest, attempt: Attempt) -> Option<&Question> {
        let same = self.questions.iter().rev().filter(|q| q.asked.said == said);
        let mut stands = same.filter(|q| q.decision.is_some() || q.asked.attempt == attempt);
        stands.next()
    }

    /// Whether its agent waits for people.
    #[must_use]
    pub fn asks_people(&self) -> bool {
        self.questions
            .iter()
            .any(|q| q.state == ApprovalState::Pending)
    }

    /// The number of the next thing that people are asked about it.
    pub(super) fn next_asking(&self) -> u32 {
        let consent = self.approval.as_ref().map_or(0, |c| c.asked.asking);
        let questions = self.questions.last().map_or(0, |q| q.asked.asking);
        consent.max(questions) + 1
    }
}
