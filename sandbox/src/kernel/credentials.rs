//! Credentials: identity maps of a user namespace, capabilities, privileges that never come back.
#![expect(unsafe_code, reason = "prctl and capset have no safe equivalents")]

use std::io;

/// Ids that a slot has for itself: 64 Ki, as container runtimes give to one container.
pub(crate) const IDS_PER_SLOT: u32 = 1 << 16;

/// The identity map of a user namespace whose ids 0 to 65535 are `base` and up outside.
pub(crate) fn identity_map(base: u32) -> String {
    format!("0 {base} {IDS_PER_SLOT}\n")
}

/// Makes a user namespace where the caller, an ordinary user outside, is `id` and nobody else exists,
/// and holds every capability in it (`user_namespaces(7)`). Its groups cannot change any more.
pub(crate) fn enter_user_namespace(id: u32) -> io::Result<()> {
    // Asked before: in the new namespace everybody is the overflow user until the maps are written.
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER)?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("{id} {user} 1\n"))?;
    std::fs::write("/proc/self/gid_map", format!("{id} {group} 1\n"))
}

fn prctl(option: i32, value: u64) -> io::Result<()> {
    // SAFETY: the options used in this file take one integer and zeros.
    let result = unsafe { libc::prctl(option, value, 0, 0, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// From now on no exec gives privileges (`no_new_privs` of `prctl(2)`).
pub(crate) fn forbid_new_privileges() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// Neither memory nor `/proc/PID` of this process can be reached by other users, and it leaves no
/// core file.
pub(crate) fn forbid_inspection() -> io::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, 0)
}

/// Empties the bounding set: no program started from here can ever hold a capability.
pub(crate) fn empty_bounding_set() -> io::Result<()> {
    for capability in 0..64 {
        match prctl(libc::PR_CAPBSET_DROP, capability) {
            Ok(()) => {}
            // Beyond the last capability that this kernel knows.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

const NOROOT: u64 = 1 << 0;
const NOROOT_LOCKED: u64 = 1 << 1;
const NO_SETUID_FIXUP_LOCKED: u64 = 1 << 3;
const KEEP_CAPS_LOCKED: u64 = 1 << 5;
const NO_CAP_AMBIENT_RAISE: u64 = 1 << 6;
const NO_CAP_AMBIENT_RAISE_LOCKED: u64 = 1 << 7;

/// The secure bits of the resident (`capabilities(7)`): user id 0 is nobody special at exec, and
/// capabilities fall with a change of user.
const SECURE_BITS: u64 = NOROOT | NOROOT_LOCKED | NO_SETUID_FIXUP_LOCKED | KEEP_CAPS_LOCKED;

/// The secure bits of a run: in addition, ambient capabilities cannot be raised.
pub(crate) const LOCKED_SECURE_BITS: u64 =
    SECURE_BITS | NO_CAP_AMBIENT_RAISE | NO_CAP_AMBIENT_RAISE_LOCKED;

/// Locks the secure bits of the resident.
pub(crate) fn lock_secure_bits() -> io::Result<()> {
    prctl(libc::PR_SET_SECUREBITS, SECURE_BITS)
}

/// What the resident keeps until its end, inside its own user namespace only: ids and files of its
/// own slot, ending its programs, giving a run its identity and a fresh ipc namespace.
const RESIDENT_CAPABILITIES: u64 = 1 << 0 // CHOWN
    | 1 << 1 // DAC_OVERRIDE
    | 1 << 3 // FOWNER
    | 1 << 5 // KILL
    | TEMPLATE_CAPABILITIES;

/// What a template of warm runs is given: enough to give a run its identity, and no more.
const TEMPLATE_CAPABILITIES: u64 = 1 << 6 // SETGID
    | 1 << 7 // SETUID
    | 1 << 8 // SETPCAP: the secure bits of a run
    | 1 << 21; // SYS_ADMIN: CLONE_NEWIPC

/// The numbers of [`TEMPLATE_CAPABILITIES`].
pub(crate) const TEMPLATE_CAPABILITY_NUMBERS: [libc::c_ulong; 4] = [6, 7, 8, 21];

/// Keeps [`RESIDENT_CAPABILITIES`] and gives up the rest. Those of a template become inheritable, which
/// must happen before the bounding set is emptied; runs clear that again.
pub(crate) fn keep_resident_capabilities() -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    let header = Header { version: VERSION_3, pid: 0 };
    let low = |set: u64| u32::try_from(set & 0xffff_ffff).unwrap_or(0);
    let (own, inheritable) = (low(RESIDENT_CAPABILITIES), low(TEMPLATE_CAPABILITIES));
    // Effective, permitted, inheritable; the second row is capabilities 32 and up.
    let data: [[u32; 3]; 2] = [[own, own, inheritable], [0, 0, 0]];
    // SAFETY: header and data have the layout of version 3 (capset(2)).
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
