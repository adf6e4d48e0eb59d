//! What happens in the house, and what follows from it.
//!
//! A change names its event in its transaction ([`Transaction::event`]); the tasks that the event causes are
//! written with it. So those who change something do not know who cares, and all that follows stands here.
//!
//! [`Transaction::event`]: crate::store::Transaction::event

use crate::models::User;
use crate::models::item::{Item, Tag};
use crate::models::order::{Order, OrderStatus, PaymentStatus};
use crate::models::text::Email;
use crate::store::tasks::NewTask;
use crate::tasks::Task;

#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// `user.created`: somebody has registered, or was given an account with a password.
    UserCreated(&'a User),
    /// `user.invited`: somebody was given an account and is to choose the password. Instead of `user.created`.
    UserInvited(&'a User),
    /// `user.activated`: an account may be used again.
    UserActivated(&'a User),
    /// `user.email_change_asked`: the user, as they are now, has a pending address.
    UserEmailChangeAsked { user: &'a User },
    /// `user.email_changed`: the user, as they are now, had another address before.
    UserEmailChanged {
        user: &'a User,
        old_email: &'a Email,
    },
    /// `user.login_linked`: the user can log in with this provider too from now on.
    UserLoginLinked { user: &'a User, provider: &'a str },
    /// `user.texts_changed`: something changed that a search looks into.
    UserTextsChanged(&'a User),
    /// `item.changed`: an item is new, or is to be found by something else, or not any more; with the tags that may have
    /// got or lost their last item by it.
    ItemChanged { item: &'a Item, tags: Vec<Tag> },
    /// `order.placed`: it holds what was ordered until it is paid or its time is over.
    OrderPlaced(&'a Order),
    /// `order.changed`: from one status to another, or its payment.
    OrderChanged { old: &'a Order, new: &'a Order },
    /// `user.deleted`: the account is closed, and what is left of it is to go.
    UserDeleted(&'a User),
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
                let mut tasks = of(user, tasks);
                tasks.push(index(user));
                tasks
            }
            Self::UserInvited(user) => {
                let mut tasks = of(user, vec![Task::InvitationMail { user_id: user.id }]);
                tasks.push(index(user));
                tasks
            }
            Self::UserActivated(user) => {
                let user_id = user.id;
                let mut tasks = vec![Task::WelcomeMail { user_id }];
                if !user.is_verified {
                    tasks.push(Task::VerificationMail { user_id });
                }
                of(user, tasks)
            }
            Self::UserEmailChangeAsked { user } => {
                let user_id = user.id;
                let told = user.pending_email.clone();
                let told = told.map(|new_email| Task::EmailChangeAskedMail { user_id, new_email });
                let mut tasks = vec![Task::VerificationMail { user_id }];
                tasks.extend(told);
                of(user, tasks)
            }
            Self::UserEmailChanged { user, old_email } => {
                let (user_id, old_email) = (user.id, old_email.clone());
                of(user, vec![Task::EmailChangedMail { user_id, old_email }])
            }
            Self::UserLoginLinked { user, provider } => {
                let (user_id, provider) = (user.id, provider.to_owned());
                of(user, vec![Task::LoginLinkedMail { user_id, provider }])
            }
            Self::UserTextsChanged(user) => vec![index(user)],
            Self::ItemChanged { item, tags } => {
                let item_id = item.id;
                vec![NewTask::new(Task::IndexItem { item_id, tags })]
            }
            Self::OrderPlaced(order) => {
                let (user_id, order_id) = (order.user_id, order.id);
                let task = Task::ProcessOrder { user_id, order_id };
                // Nobody's: what they hold must come back though they are gone.
                vec![NewTask::new(task).not_before(order.due_at)]
            }
            Self::OrderChanged { old, new } => order_changed(old, new),
            // Nobody's: the tasks of the user are erased too.
            Self::UserDeleted(user) => vec![NewTask::new(Task::EraseUser { user_id: user.id })],
        }
    }
}

/// The mail is the user's, the payment nobody's: money must find its way though they are gone.
fn order_changed(old: &Order, new: &Order) -> Vec<NewTask> {
    let (user_id, order_id) = (new.user_id, new.id);
    let mut tasks = Vec::new();
    if old.status != new.status && new.status == OrderStatus::Processed {
        let mail = Task::OrderConfirmationMail { user_id, order_id };
        tasks.push(NewTask::new(mail).owned_by(user_id));
    }
    let is_news = old.payment.status != new.payment.status;
    let payment = match new.payment.status {
        PaymentStatus::Cancelled if new.payment.intent_id.is_some() => {
            Some(Task::CancelPayment { user_id, order_id })
        }
        PaymentStatus::Refunding => Some(Task::RefundPayment { user_id, order_id }),
        _ => None,
    };
    tasks.extend(payment.filter(|_| is_news).map(NewTask::new));
    tasks
}

/// Tasks that are due at once and belong to a user.
fn of(user: &User, tasks: Vec<Task>) -> Vec<NewTask> {
    let owned = |task| NewTask::new(task).owned_by(user.id);
    tasks.into_iter().map(owned).collect()
}

/// Nobody's: it is no business of the user's, whose list shows what was done for them.
fn index(user: &User) -> NewTask {
    NewTask::new(Task::IndexUser { user_id: user.id })
}
