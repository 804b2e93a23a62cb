//! Version 2 only: makes a control group hand its controllers down to children, and undoes that.
//!
//! A group that hands controllers down has no processes of its own, the root excepted ("no internal
//! processes", `cgroups(7)`). Where the service finds itself beside others, a login session for
//! instance, all of them move to a child, [`SUPERVISORS`], and **come back when the last service of
//! the group ends**: each holds a shared lock (`flock(2)`) on the group's folder, and who can have it
//! for itself alone was the last. Killed, it holds no lock any more, and the next service to start
//! brings them back, wherever it starts ([`restore`]).
//!
//! Refused: groups beside the own one, at the hierarchy's root, where nothing has to move: they would
//! escape the limits that the service's manager set. Leaving the child behind: the next service
//! would start in it and make another one in there, and so on.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use super::cgroup::{failed, make};
use crate::error::Error;

/// The child that a group's processes move to.
const SUPERVISORS: &str = "assay-supervisor";

/// What slots cannot do without.
const NEEDED: [&str; 2] = ["memory", "pids"];

/// How long moving processes may take: some fork while they are being moved.
const MOVE_TIME_MAX: Duration = Duration::from_secs(5);

/// A group that hands its controllers down as long as this lives.
#[derive(Debug)]
pub(crate) struct Delegation {
    group: PathBuf,
    /// `None` once released.
    lock: Option<Flock<File>>,
}

/// The group that a service whose own is `own` works in: not the one it was moved to.
pub(crate) fn outside(own: PathBuf) -> PathBuf {
    match own.parent() {
        Some(parent) if own.ends_with(SUPERVISORS) => parent.to_owned(),
        _ => own,
    }
}

/// Hands the controllers that can be had to the children of `group`, which has no processes.
pub(crate) fn hand_down(group: &Path) -> io::Result<()> {
    let control = group.join("cgroup.subtree_control");
    fs::write(&control, format!("+{}", NEEDED.join(" +")))?;
    // Shares processors fairly between slots. Often not to be had, and nothing is measured by it.
    drop(fs::write(&control, "+cpu"));
    Ok(())
}

impl Delegation {
    /// Makes `group` hand its controllers down.
    pub(crate) fn take(group: &Path) -> Result<Self, Error> {
        check_controllers(group)?;
        let lock = lock(group, FlockArg::LockShared)?;
        let delegation = Self { group: group.to_owned(), lock: Some(lock) };
        let deadline = Instant::now() + MOVE_TIME_MAX;
        loop {
            match hand_down(group) {
                Ok(()) => return Ok(delegation),
                Err(error) if is_busy(&error) && Instant::now() < deadline => {
                    let child = group.join(SUPERVISORS);
                    make(&child)?;
                    move_members(group, &child)?;
                }
                Err(error) => return Err(failed("hand controllers down from", group)(error)),
            }
        }
    }

    /// Lets go, and brings processes back if nobody else needs the group as it is.
    pub(crate) fn release(mut self) -> Result<(), Error> {
        self.let_go()
    }

    fn let_go(&mut self) -> Result<(), Error> {
        if self.lock.take().is_some() { restore(&self.group) } else { Ok(()) }
    }
}

impl Drop for Delegation {
    fn drop(&mut self) {
        if let Err(error) = self.let_go() {
            tracing::warn!(group = %self.group.display(), %error, "processes were left in a child group");
        }
    }
}

fn check_controllers(group: &Path) -> Result<(), Error> {
    let path = group.join("cgroup.controllers");
    let text = fs::read_to_string(&path).map_err(failed("read", &path))?;
    let missing: Vec<&str> = NEEDED
        .into_iter()
        .filter(|name| !text.split_whitespace().any(|had| had == *name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::Unfit {
        reason: format!(
            "the control group {} was not given the controllers {}; start the service with \
             Delegate=yes (systemd), or from a group whose parent has them in cgroup.subtree_control",
            group.display(),
            missing.join(" and ")
        ),
    })
}

/// Brings the processes of `group` back from the child that a service moved them to, unless a living
/// service needs them to stay there.
pub(crate) fn restore(group: &Path) -> Result<(), Error> {
    let child = group.join(SUPERVISORS);
    if !child.is_dir() {
        return Ok(());
    }
    let _alone = match lock(group, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => lock,
        Err(Error::Cgroup { source, .. }) if source.kind() == io::ErrorKind::WouldBlock => {
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let control = group.join("cgroup.subtree_control");
    match fs::write(&control, "-memory -pids -cpu") {
        // Somebody's groups in there still have controllers, so somebody else's service is not done.
        Err(error) if is_busy(&error) => return Ok(()),
        result => result.map_err(failed("take controllers back from", group))?,
    }
    let deadline = Instant::now() + MOVE_TIME_MAX;
    loop {
        move_members(&child, group)?;
        match fs::remove_dir(&child) {
            Err(error) if is_busy(&error) && Instant::now() < deadline => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            result => return result.map_err(failed("remove", &child)),
        }
    }
}

fn lock(group: &Path, how: FlockArg) -> Result<Flock<File>, Error> {
    let folder = File::open(group).map_err(failed("open", group))?;
    Flock::lock(folder, how).map_err(|(_, errno)| failed("lock", group)(errno.into()))
}

fn is_busy(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBUSY)
}

fn move_members(source: &Path, target: &Path) -> Result<(), Error> {
    let members = source.join("cgroup.procs");
    let list = fs::read_to_string(&members).map_err(failed("read", &members))?;
    // `0` is a process that our pid namespace does not have; as a request it would mean ourselves.
    for pid in list.lines().filter(|pid| *pid != "0") {
        match fs::write(target.join("cgroup.procs"), pid) {
            // A process that has ended meanwhile is no obstacle.
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
                return Err(failed(format!("move process {pid} to"), target)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_was_moved_works_in_the_group_it_came_from() {
        assert_eq!(outside("/cg/a/assay-supervisor".into()), Path::new("/cg/a"));
        assert_eq!(outside("/cg/a".into()), Path::new("/cg/a"));
        assert_eq!(outside("/cg/my-assay-supervisor".into()), Path::new("/cg/my-assay-supervisor"));
    }

    #[test]
    fn a_group_without_controllers_is_refused_with_advice() {
        let group = tempfile::tempdir().unwrap();
        fs::write(group.path().join("cgroup.controllers"), "cpu pids\n").unwrap();
        let message = check_controllers(group.path()).unwrap_err().to_string();
        assert!(message.contains("controllers memory;"), "{message}");
        assert!(message.contains("Delegate=yes"), "{message}");
        fs::write(group.path().join("cgroup.controllers"), "cpu memory pids\n").unwrap();
        check_controllers(group.path()).unwrap();
    }
}
