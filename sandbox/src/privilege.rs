//! With root or without: decided once from the caller's effective user, and what hangs on it.
//!
//! Without root a slot has a single identity, the caller's own. The order of things is turned round
//! against [`crate::builder`]'s: the user namespace comes first, as nobody else can make it, and so
//! the mounts belong to the slot. Then no identity stands between resident and program, and each
//! thing that it kept apart is kept apart by another means:
//!
//! | with root | without |
//! |---|---|
//! | the program may not write what the slot's root owns | the root and `/box` are read-only mounts; the resident holds folders of the layer beneath, through a mount that is nowhere in the tree |
//! | the program may not signal or trace the resident | PID 1 is immune to signals from its namespace; it is not dumpable and has capabilities that the program lacks; calls that trace are filtered |
//! | the program may not change the resident's limits or priority | such calls on process 1 are filtered |
//! | capabilities fall with the change of user | they are set to none before exec |
//! | device nodes of the slot's own | the machine's nodes, on mounts that keep their inodes unchanged |
//! | folders are replaced after a run | folders are emptied, and their mode, times and attributes restored |
//! | control groups | where the caller's own group is delegated; else [`crate::kernel::account`] |
//!
//! Refused: an overlay for the writable layer, which has no use once the root is read-only, and which
//! not every kernel lets a user namespace mount. Refused for now: more identities by way of
//! `newuidmap(1)`, a set-user-id helper that many hosts and most containers lack. Warm interpreters
//! need an identity of their own, apart from the runs', and are left out.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::kernel::cgroup::Parent;
use crate::kernel::delegation::Delegation;

/// Where root keeps the locks of slots in use.
const STATE_DIR: &str = "/run/assay";

/// What the caller may do on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Privilege {
    /// Everything: slots get identities, groups and mounts of their own.
    Root,
    /// What an ordinary user may. Runs are isolated, by fewer layers; see [`mod@crate::preflight`].
    Rootless,
}

impl Privilege {
    /// The caller's.
    #[must_use]
    pub(crate) fn of_caller() -> Self {
        if nix::unistd::geteuid().is_root() { Self::Root } else { Self::Rootless }
    }

    /// Where the locks of slots in use are kept: for root on the whole machine, for others by
    /// user.
    pub(crate) fn state_dir(self) -> PathBuf {
        let user = nix::unistd::geteuid().as_raw();
        match self {
            Self::Root => PathBuf::from(STATE_DIR),
            Self::Rootless => {
                state_dir_of(user, std::env::var_os("XDG_RUNTIME_DIR").map(Into::into))
            }
        }
    }

    /// Makes the state folder. In a folder like `/tmp`, where all may write, another user may have
    /// been first: then its locks are worth nothing, and it is refused.
    pub(crate) fn make_state_dir(self, state_dir: &Path) -> Result<(), Error> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(state_dir)
            .map_err(Error::io(format!("create {}", state_dir.display())))?;
        match self {
            Self::Root => Ok(()),
            Self::Rootless => check_private(state_dir),
        }
    }

    /// Where the slots' control groups are made; `None` where there can be none, which only an
    /// ordinary user's slots do without. `inside` is where they were asked for.
    pub(crate) fn groups(
        self,
        inside: Option<&Path>,
    ) -> Result<(Option<Parent>, Option<Delegation>), Error> {
        if self == Self::Root || inside.is_some() {
            let parent = Parent::find(inside)?;
            let delegation = parent.delegate()?;
            return Ok((Some(parent), delegation));
        }
        let parent = Parent::find(None).ok().filter(Parent::is_delegated);
        Ok(match parent.map(|parent| (parent.delegate(), parent)) {
            Some((Ok(delegation), parent)) => (Some(parent), delegation),
            Some((Err(_), _)) | None => (None, None),
        })
    }

    /// Adds to an error what is known to forbid user namespaces on this host.
    pub(crate) fn explain(self, error: Error) -> Error {
        match (self, obstacle()) {
            (Self::Rootless, Some(Obstacle { found, advice })) => {
                Error::Unfit { reason: format!("{error}; {found}: {advice}, or start as root") }
            }
            (Self::Rootless, None) | (Self::Root, _) => error,
        }
    }
}

fn state_dir_of(user: u32, runtime_dir: Option<PathBuf>) -> PathBuf {
    match runtime_dir {
        Some(folder) if folder.is_absolute() => folder.join("assay"),
        _ => PathBuf::from(format!("/tmp/assay-{user}")),
    }
}

fn check_private(folder: &Path) -> Result<(), Error> {
    let found =
        fs::symlink_metadata(folder).map_err(Error::io(format!("look at {}", folder.display())))?;
    let ours = found.uid() == nix::unistd::geteuid().as_raw();
    if found.is_dir() && ours && found.mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(Error::Unfit {
        reason: format!(
            "{} is not a folder of this user that is closed to all others (mode 0700); remove it, \
             or set XDG_RUNTIME_DIR",
            folder.display()
        ),
    })
}

/// What forbids ordinary users to make user namespaces, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub(crate) found: String,
    pub(crate) advice: &'static str,
}

/// Settings of the kernel, the value that forbids, and what to do.
const SETTINGS: [(&str, &str, &str); 3] = [
    ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
    ("user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=1024"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or give this program an AppArmor \
         profile that allows userns",
    ),
];

/// The first obstacle on this host. AppArmor's may not hold for this very program.
pub(crate) fn obstacle() -> Option<Obstacle> {
    obstacle_below(Path::new("/proc/sys"))
}

fn obstacle_below(settings: &Path) -> Option<Obstacle> {
    SETTINGS.iter().find_map(|(name, forbidding, advice)| {
        let text = fs::read_to_string(settings.join(name)).ok()?;
        let found = format!("{}={forbidding} forbids user namespaces", name.replace('/', "."));
        (text.trim() == *forbidding).then_some(Obstacle { found, advice })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn the_state_dir_is_the_users_own() {
        let run = |path: &str| state_dir_of(7, Some(path.into()));
        assert_eq!(run("/run/user/7"), Path::new("/run/user/7/assay"));
        assert_eq!(run("relative"), Path::new("/tmp/assay-7"));
        assert_eq!(state_dir_of(7, None), Path::new("/tmp/assay-7"));
    }

    #[test]
    fn a_state_dir_that_others_can_enter_or_redirect_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("assay");
        Privilege::Rootless.make_state_dir(&folder).unwrap();
        assert_eq!(folder.metadata().unwrap().mode() & 0o7777, 0o700);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o710)).unwrap();
        assert!(matches!(check_private(&folder), Err(Error::Unfit { .. })));
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        assert!(check_private(&folder).is_ok());
        let link = temporary.path().join("link");
        symlink(&folder, &link).unwrap();
        assert!(matches!(check_private(&link), Err(Error::Unfit { .. })));
        // Of another user, where there is one to compare with.
        let foreign = Path::new("/proc/1");
        if foreign.metadata().unwrap().uid() != nix::unistd::geteuid().as_raw() {
            assert!(check_private(foreign).is_err());
        }
    }

    #[test]
    fn a_setting_that_forbids_user_namespaces_is_named_with_its_remedy() {
        let temporary = tempfile::tempdir().unwrap();
        assert_eq!(obstacle_below(temporary.path()), None);
        for (name, forbidding, advice) in SETTINGS {
            let file = temporary.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, format!("{forbidding}\n")).unwrap();
            let obstacle = obstacle_below(temporary.path()).unwrap();
            assert!(obstacle.found.starts_with(&name.replace('/', ".")), "{obstacle:?}");
            assert_eq!(obstacle.advice, advice);
            fs::write(&file, "5\n").unwrap();
            assert_eq!(obstacle_below(temporary.path()), None);
        }
    }
}
