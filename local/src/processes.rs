//! The processes that were started here, and all that they started in turn.
//!
//! `cargo lambda watch` puts each function into a process group of its own, and what outlives its parent belongs to
//! nobody; so neither groups nor parents lead to all of them. An environment variable does: a process inherits it
//! from the one that starts it.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, Signal, System, UpdateKind};
use tokio::process::Command;

const MARK: &str = "SHEAF_LOCAL_FAMILY";

/// Processes that carry one mark. Dropping it kills them.
#[derive(Debug)]
pub struct Family {
    mark: String,
}

impl Family {
    /// The family of this name. Whoever uses the same name later finds what an earlier user left behind.
    pub fn named(name: &str) -> Self {
        Self {
            mark: format!("{MARK}={name}"),
        }
    }

    /// A family that nobody else knows.
    pub fn unique() -> Self {
        Self::named(&format!("{}-{:x}", std::process::id(), fastrand::u64(..)))
    }

    /// A command that becomes a member when it is started.
    ///
    /// It gets a process group of its own, so that Ctrl-C in a terminal reaches this process alone, which then ends
    /// the others in order. What `cargo run` told this process about its own package is not passed on: to another
    /// cargo it would be a reason to build things again.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        for name in crate::shell::variables_of_cargo_run() {
            command.env_remove(name);
        }
        if let Some((name, value)) = self.mark.split_once('=') {
            command.env(name, value);
        }
        command.process_group(0).kill_on_drop(true);
        command
    }

    /// How many members are running.
    pub fn count(&self) -> usize {
        self.each(|_| {})
    }

    /// Asks all members to end, and kills those that have not within the grace.
    pub async fn end(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        self.signal(Signal::Term);
        while self.count() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.kill();
    }

    /// Kills all members, those too that are started meanwhile.
    pub fn kill(&self) {
        // A member may be between two looks when it starts another, so one look that finds nobody is what counts. Ten
        // are enough for any but a member that multiplies on purpose.
        for _ in 0..10 {
            if self.signal(Signal::Kill) == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, signal: Signal) -> usize {
        self.each(|process| {
            process.kill_with(signal);
        })
    }

    fn each(&self, act: impl Fn(&sysinfo::Process)) -> usize {
        let mut system = System::new();
        system.refresh_processes_specifics(
            ProcessesToUpdate::All,
            true,
            ProcessRefreshKind::nothing()
                .without_tasks()
                .with_environ(UpdateKind::Always),
        );
        let mark = OsStr::new(&self.mark);
        let own = sysinfo::get_current_pid().ok();
        system
            .processes()
            .values()
            .filter(|process| Some(process.pid()) != own)
            .filter(|process| process.environ().iter().any(|variable| variable == mark))
            .map(act)
            .count()
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    /// A shell that starts another process in a session of its own and goes, leaving it behind.
    fn orphan(family: &Family) {
        let mut shell = family.command("sh");
        shell.args(["-c", "setsid sleep 60 & sleep 60"]);
        let child = shell
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(false)
            .spawn();
        drop(child.unwrap());
    }

    async fn until(family: &Family, count: usize) {
        for _ in 0..100 {
            if family.count() == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} processes, not {count}", family.count());
    }

    #[tokio::test]
    async fn ends_children_and_what_they_left_behind() {
        let family = Family::unique();
        orphan(&family);
        until(&family, 3).await;
        family.end(Duration::from_secs(5)).await;
        assert_eq!(family.count(), 0);
    }

    #[tokio::test]
    async fn kills_who_does_not_listen() {
        let family = Family::unique();
        let mut deaf = family.command("sh");
        deaf.args(["-c", "trap '' TERM; while true; do sleep 0.1; done"]);
        let _child = deaf.spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        family.end(Duration::from_millis(300)).await;
        assert_eq!(family.count(), 0);
    }

    #[tokio::test]
    async fn families_do_not_touch_each_other() {
        let (one, other) = (Family::unique(), Family::unique());
        let _kept = other.command("sleep").arg("60").spawn().unwrap();
        orphan(&one);
        until(&one, 3).await;
        one.kill();
        assert_eq!((one.count(), other.count()), (0, 1));
    }
}
