//! What happens in the house, and what follows from it.
//!
//! A change names its event in its transaction ([`Transaction::event`]); the tasks that the event causes are
//! written with it. So those who change something do not know who cares, and all that follows stands here.
//!
//! [`Transaction::event`]: crate::store::Transaction::event

use crate::models::User;
use crate::models::text::Email;
use crate::store::tasks::NewTask;
use crate::tasks::Task;

#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// `user.created`: somebody has registered.
    UserCreated(&'a User),
    /// `user.activated`: an account may be used again.
    UserActivated(&'a User),
    /// `user.email_changed`: the user, as they are now, had another address before.
    UserEmailChanged {
        user: &'a User,
        old_email: &'a Email,
    },
}

impl Event<'_> {
    /// The tasks that this event causes.
    pub fn tasks(self) -> Vec<NewTask> {
        match self {
            Self::UserCreated(user) => {
                let user_id = user.id;
                let mut tasks = vec![Task::WelcomeMail { user_id }];
                if !user.is_verified {
                    tasks.push(Task::VerificationMail { user_id });
                }
                of(user, tasks)
            }
            Self::UserActivated(user) => of(user, vec![Task::WelcomeMail { user_id: user.id }]),
            Self::UserEmailChanged { user, old_email } => {
                let (user_id, old_email) = (user.id, old_email.clone());
                let told = Task::EmailChangedMail { user_id, old_email };
                of(user, vec![Task::VerificationMail { user_id }, told])
            }
        }
    }
}

/// Tasks that are due at once and belong to a user.
fn of(user: &User, tasks: Vec<Task>) -> Vec<NewTask> {
    let owned = |task| NewTask::new(task).owned_by(user.id);
    tasks.into_iter().map(owned).collect()
}
