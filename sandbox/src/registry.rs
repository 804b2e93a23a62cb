//! Which slot numbers of this machine are in use, by whom, and what a dead owner left.
//!
//! A slot's number decides its range of ids, so no two slots of the machine may share one, whichever
//! process they belong to. A number is held by an exclusive lock (`flock(2)`) on a file that names
//! the slot's control groups. The kernel drops the lock when the owner dies, however it dies; the
//! next to come takes the lock, removes those groups and the number is free. What is locked is never
//! touched, so nothing of a living owner is.
//!
//! Two services may keep their locks in different folders and still share a control group. Therefore a
//! number is ours only if we made its group: one that is there already is somebody else's, and the
//! number is passed over.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::error::Error;
use crate::kernel::cgroup::{Parent, SlotGroups};
use crate::kernel::credentials::IDS_PER_SLOT;
use crate::limits::SLOTS_MAX;

/// The first id given to slots: above what systemd and `subuid(5)` hand out, below 2^31.
const ID_BASE: u32 = 2_000_000_000;
/// Numbers on one machine, whatever the number of pools.
const NUMBERS_MAX: u32 = 1024;

const _: () = assert!(NUMBERS_MAX as usize >= SLOTS_MAX);
const _: () = assert!(ID_BASE as u64 + NUMBERS_MAX as u64 * IDS_PER_SLOT as u64 <= 1 << 31);

/// A number that is ours until dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) number: u32,
    pub(crate) groups: Option<SlotGroups>,
    path: PathBuf,
    _lock: Flock<File>,
}

impl Claim {
    /// The first of the slot's ids outside.
    pub(crate) fn id_base(&self) -> u32 {
        ID_BASE + self.number * IDS_PER_SLOT
    }

    /// Removes the slot's groups, where it has any.
    pub(crate) fn remove_groups(&self) -> Result<(), Error> {
        self.groups.as_ref().map_or(Ok(()), SlotGroups::destroy)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // While the lock is held, so that nobody can have claimed this file.
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a slot's lock file was left behind");
        }
    }
}

fn folder(state_dir: &Path) -> Result<PathBuf, Error> {
    let folder = state_dir.join("slots");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(Error::io(format!("create {}", folder.display())))?;
    Ok(folder)
}

/// Locks `path` if nobody else has; `Ok(None)` where somebody has.
fn try_lock(path: &Path) -> io::Result<Option<Flock<File>>> {
    loop {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        let lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => return Ok(None),
            Err((_, errno)) => return Err(errno.into()),
        };
        // Its last owner may have removed the file between our open and our lock.
        match fs::symlink_metadata(path) {
            Ok(found) if found.ino() == lock.metadata()?.ino() => return Ok(Some(lock)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

/// What stands in a lock's file: the groups, as one line of JSON, and a second line once they are the
/// owner's. The file only grows while its owner lives, so that an owner that dies at any point leaves
/// either what it was about to make or what it made, never nothing about a group that is there.
#[derive(Debug, PartialEq, Eq)]
struct Note {
    groups: Option<SlotGroups>,
    /// Whether they are the owner's: before it has made the first it may be another's.
    made: bool,
}

/// The second line.
const MADE: &str = "made\n";

impl Note {
    /// Writes down what is about to be made.
    fn announce(groups: Option<&SlotGroups>, lock: &mut Flock<File>) -> io::Result<()> {
        let line = serde_json::to_string(&groups)? + "\n";
        lock.set_len(0)?;
        lock.rewind()?;
        lock.write_all(line.as_bytes())
    }

    /// Adds that it was made.
    fn confirm(lock: &mut Flock<File>) -> io::Result<()> {
        lock.write_all(MADE.as_bytes())
    }

    /// Reads what a dead owner wrote.
    fn parse(text: &str) -> Self {
        // Cut short where the owner died while writing: then it had made nothing yet.
        let (first, rest) = text.split_once('\n').unwrap_or_default();
        let groups = serde_json::from_str(first).unwrap_or_default();
        Self { groups, made: rest == MADE }
    }
}

/// Removes the groups that a dead owner named in the file, and returns them.
fn clean(lock: &mut Flock<File>) -> Result<Option<SlotGroups>, Error> {
    let mut text = String::new();
    lock.read_to_string(&mut text).map_err(Error::io("read a slot's lock file"))?;
    match Note::parse(&text) {
        Note { groups: Some(groups), made: true } => groups.destroy().map(|()| Some(groups)),
        Note { groups: Some(groups), made: false } => {
            groups.give_up();
            Ok(None)
        }
        Note { groups: None, .. } => Ok(None),
    }
}

/// Claims the lowest free number, and writes down the groups that it is about to have.
pub(crate) fn claim(state_dir: &Path, parent: Option<&Parent>) -> Result<Claim, Error> {
    let folder = folder(state_dir)?;
    for number in 0..NUMBERS_MAX {
        let path = folder.join(format!("{number}.lock"));
        let locked = try_lock(&path).map_err(Error::io(format!("lock {}", path.display())))?;
        let Some(mut lock) = locked else { continue };
        clean(&mut lock)?;
        let failed = || Error::io(format!("write {}", path.display()));
        let groups = parent.map(|parent| parent.groups(number));
        Note::announce(groups.as_ref(), &mut lock).map_err(failed())?;
        if let Some(groups) = &groups
            && !groups.take()?
        {
            // Somebody else's, who keeps locks elsewhere.
            fs::remove_file(&path).map_err(Error::io(format!("remove {}", path.display())))?;
            continue;
        }
        Note::confirm(&mut lock).map_err(failed())?;
        return Ok(Claim { number, groups, path, _lock: lock });
    }
    Err(Error::Unfit {
        reason: format!("all {NUMBERS_MAX} slot numbers of this machine are in use"),
    })
}

/// Cleans up after owners that died. Returns how many numbers were freed.
pub(crate) fn sweep(state_dir: &Path) -> Result<usize, Error> {
    let folder = folder(state_dir)?;
    let (mut freed, mut cleaned) = (0, Vec::new());
    let entries = fs::read_dir(&folder).map_err(Error::io(format!("list {}", folder.display())))?;
    for entry in entries {
        let path = entry.map_err(Error::io(format!("list {}", folder.display())))?.path();
        if path.extension().is_none_or(|extension| extension != "lock") {
            continue;
        }
        let locked = try_lock(&path).map_err(Error::io(format!("lock {}", path.display())))?;
        let Some(mut lock) = locked else { continue };
        cleaned.extend(clean(&mut lock)?);
        fs::remove_file(&path).map_err(Error::io(format!("remove {}", path.display())))?;
        freed += 1;
    }
    // After the last of a dead owner's slots, whose groups use what their parent hands down.
    for groups in cleaned {
        if let Err(error) = groups.restore_parent() {
            tracing::warn!(%error, "processes of a dead owner's group were left in a child of it");
        }
    }
    Ok(freed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_number_is_left_alone_and_a_dead_one_is_swept() {
        let state = tempfile::tempdir().unwrap();
        let folder = folder(state.path()).unwrap();
        let living = folder.join("0.lock");
        let held = try_lock(&living).unwrap().unwrap();
        fs::write(folder.join("1.lock"), "{").unwrap();
        assert_eq!(sweep(state.path()).unwrap(), 1);
        assert!(living.exists());
        assert!(!folder.join("1.lock").exists());
        assert!(try_lock(&living).unwrap().is_none());
        drop(held);
        assert_eq!(sweep(state.path()).unwrap(), 1);
        assert!(!living.exists());
    }

    #[test]
    fn what_a_dead_owner_had_not_made_its_own_is_not_ended() {
        let state = tempfile::tempdir().unwrap();
        let hierarchy = tempfile::tempdir().unwrap();
        let parent = Parent::stand_in(hierarchy.path());
        let groups = parent.groups(0);
        assert!(groups.take().unwrap());
        assert!(!groups.take().unwrap(), "taken twice");
        let busy = hierarchy.path().join("assay-slot-0/a");
        fs::create_dir(&busy).unwrap();
        let path = folder(state.path()).unwrap().join("0.lock");
        let mut lock = try_lock(&path).unwrap().unwrap();
        Note::announce(Some(&groups), &mut lock).unwrap();
        drop(lock);
        assert_eq!(sweep(state.path()).unwrap(), 1);
        assert!(busy.exists());
        let claim = claim(state.path(), Some(&parent)).unwrap();
        assert_eq!(claim.number, 1, "a number whose groups are another's was claimed");
        assert!(!folder(state.path()).unwrap().join("0.lock").exists());
    }

    /// Wherever an owner dies that claims a number, its successor knows of the groups that are there.
    #[test]
    fn a_note_that_was_cut_anywhere_leaves_no_group() {
        let (state, hierarchy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let parent = Parent::stand_in(hierarchy.path());
        let path = folder(state.path()).unwrap().join("0.lock");
        let groups = parent.groups(0);
        let mut lock = try_lock(&path).unwrap().unwrap();
        Note::announce(Some(&groups), &mut lock).unwrap();
        let announced = fs::read_to_string(&path).unwrap();
        Note::confirm(&mut lock).unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        drop(lock);
        assert!(whole.starts_with(&announced), "what was known is forgotten: {whole}");
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            // The first group is made after the announcement.
            if cut >= announced.len() {
                assert!(groups.take().unwrap());
            }
            assert_eq!(sweep(state.path()).unwrap(), 1);
            assert!(!hierarchy.path().join("assay-slot-0").exists(), "{:?}", &whole[..cut]);
        }
    }
}
