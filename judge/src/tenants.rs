//! Who may use the service, and what each may have of it.
//!
//! A key is 256 random bits; only its SHA-256 digest is configured, and digests are compared in
//! constant time. Where no tenant is configured, whoever can connect is the one open tenant.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::Priority;
use serde::Deserialize;
use serde::de::{self, Deserializer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::config::TenantConfig;
use crate::limits::KEY_BYTES_MAX;

/// How every key begins, so that one that leaked can be searched for.
const KEY_PREFIX: &str = "assay_";
const DIGEST_PREFIX: &str = "sha256:";

/// What a tenant may have.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    /// Its name.
    pub name: Arc<str>,
    /// Its share of the slots, beside the weights of others.
    pub weight: u32,
    /// Slots that it may use at once.
    pub slots_max: Option<NonZeroUsize>,
    /// Submissions that it may have admitted and not yet answered.
    pub queue_submissions_max: usize,
    /// The part of all request bytes that it may hold.
    pub bodies_bytes_max: usize,
    /// The part of the room for sessions that it may take.
    pub sessions: SessionShare,
    /// Submissions in a second, and how many at once after a pause.
    pub rate: Option<(f64, f64)>,
    /// What its requests are for, where they do not say.
    pub priority: Priority,
    /// Whether it may see what concerns all tenants.
    pub role: Role,
}

/// How much of the room for sessions, which is bounded for all together as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionShare {
    /// Open at once.
    pub open_max: usize,
    /// Bytes of memory that they may use together.
    pub memory_bytes_max: u64,
}

impl SessionShare {
    /// As much as there is.
    pub const ALL: Self = Self { open_max: usize::MAX, memory_bytes_max: u64::MAX };
    const NONE: Self = Self { open_max: 0, memory_bytes_max: 0 };
}

/// What there is of everything that tenants share.
#[derive(Clone, Copy, Debug)]
pub struct Whole {
    /// Submissions admitted and not yet answered.
    pub submissions: usize,
    /// Request bytes held at once.
    pub bodies_bytes: usize,
    /// Sessions.
    pub sessions: SessionShare,
}

/// What a tenant may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What is its own.
    User,
    /// Metrics and statistics of the whole service, too.
    Operator,
}

impl Tenant {
    /// The tenant of a service that is open to whoever can connect.
    #[must_use]
    pub fn open() -> Self {
        Self {
            name: "open".into(),
            weight: 1,
            slots_max: None,
            queue_submissions_max: usize::MAX,
            bodies_bytes_max: usize::MAX,
            sessions: SessionShare::ALL,
            rate: None,
            priority: Priority::default(),
            role: Role::Operator,
        }
    }

    /// Someone without a key, who may have nothing.
    #[must_use]
    pub fn nobody() -> Self {
        let (queue_submissions_max, bodies_bytes_max) = (0, 0);
        let (name, role, sessions) = ("nobody".into(), Role::User, SessionShare::NONE);
        Self { name, role, queue_submissions_max, bodies_bytes_max, sessions, ..Self::open() }
    }
}

/// All tenants.
#[derive(Clone, Debug)]
pub struct Tenants {
    keys: Vec<(KeyDigest, Arc<Tenant>)>,
    /// There where no tenant is configured.
    open: Option<Arc<Tenant>>,
    count: usize,
}

impl Tenants {
    /// The tenants of a configuration. Beside others, a tenant may have half of the whole, unless its
    /// configuration says otherwise.
    #[must_use]
    pub fn new(configs: &[TenantConfig], whole: Whole) -> Self {
        let others = configs.len() > 1;
        let share = |whole: usize| if others { whole.div_ceil(2) } else { whole };
        let memory_bytes = whole.sessions.memory_bytes_max;
        let memory_bytes_max = if others { memory_bytes.div_ceil(2) } else { memory_bytes };
        let mut keys = Vec::new();
        for config in configs {
            let per_second = config.submissions_per_second;
            let burst = config.burst.map_or_else(|| per_second.max(1.0), f64::from);
            let tenant = Arc::new(Tenant {
                name: config.name.as_str().into(),
                weight: config.weight,
                slots_max: config.slots_max,
                queue_submissions_max: config
                    .queue_submissions_max
                    .map_or_else(|| share(whole.submissions), NonZeroUsize::get),
                bodies_bytes_max: share(whole.bodies_bytes),
                sessions: SessionShare {
                    open_max: config.sessions_max.unwrap_or_else(|| share(whole.sessions.open_max)),
                    memory_bytes_max,
                },
                rate: (per_second > 0.0).then_some((per_second, burst)),
                priority: config.priority,
                role: if config.operator { Role::Operator } else { Role::User },
            });
            keys.extend(config.keys.iter().map(|key| (*key, Arc::clone(&tenant))));
        }
        let open = configs.is_empty().then(|| Arc::new(Tenant::open()));
        Self { keys, open, count: configs.len() }
    }

    /// How many are configured.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The tenant of everybody, where the service is open.
    #[must_use]
    pub fn open(&self) -> Option<&Arc<Tenant>> {
        self.open.as_ref()
    }

    /// Whose key it is. Takes the same time whichever it is, and whether it is one.
    #[must_use]
    pub fn by_key(&self, key: &str) -> Option<&Arc<Tenant>> {
        let bytes = key.as_bytes();
        let digest = KeyDigest::of(bytes.get(..KEY_BYTES_MAX).unwrap_or(bytes));
        let mut found = None;
        for (known, tenant) in &self.keys {
            if bool::from(known.0.ct_eq(&digest.0)) {
                found = Some(tenant);
            }
        }
        found
    }
}

/// The SHA-256 digest of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(DIGEST_PREFIX).filter(|digits| digits.len() == 64)?;
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(DIGEST_PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(..)")
    }
}

impl<'de> Deserialize<'de> for KeyDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            de::Error::custom(
                "a key is configured as \"sha256:\" and 64 hexadecimal digits; \
                 `assay key new` makes one",
            )
        })
    }
}

/// A new key, and the digest that is configured for it.
///
/// # Errors
/// The machine has no random numbers.
pub fn new_key() -> Result<(String, KeyDigest), getrandom::Error> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    let key = format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let digest = KeyDigest::of(key.as_bytes());
    Ok((key, digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Whole = Whole {
        submissions: 100,
        bodies_bytes: 1000,
        sessions: SessionShare { open_max: 5, memory_bytes_max: 64 },
    };

    fn config(name: &str, key: KeyDigest) -> TenantConfig {
        toml::from_str(&format!("name = {name:?}\nkeys = [\"{key}\"]")).unwrap()
    }

    #[test]
    fn a_key_is_found_by_its_digest_and_nothing_else_is() {
        let ((one, first), (two, second)) = (new_key().unwrap(), new_key().unwrap());
        assert_ne!(one, two);
        let tenants = Tenants::new(&[config("a", first), config("b", second)], WHOLE);
        let name = |key: &str| tenants.by_key(key).map(|tenant| tenant.name.to_string());
        assert_eq!((name(&one).as_deref(), name(&two).as_deref()), (Some("a"), Some("b")));
        let longer = format!("{one}x");
        for wrong in ["", "assay_", &one[..one.len() - 1], &longer, &first.to_string()] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
        assert!(tenants.open().is_none());
        assert_eq!(tenants.by_key(&one).unwrap().queue_submissions_max, 50);
    }

    #[test]
    fn a_tenant_has_half_of_the_sessions_beside_others_and_all_of_them_alone() {
        let ((one, first), (two, second)) = (new_key().unwrap(), new_key().unwrap());
        let (a, mut b) = (config("a", first), config("b", second));
        b.sessions_max = Some(0);
        let tenants = Tenants::new(&[a.clone(), b], WHOLE);
        let of = |tenants: &Tenants, key: &str| {
            let SessionShare { open_max, memory_bytes_max } = tenants.by_key(key).unwrap().sessions;
            (open_max, memory_bytes_max)
        };
        assert_eq!((of(&tenants, &one), of(&tenants, &two)), ((3, 32), (0, 32)));
        assert_eq!(of(&Tenants::new(&[a], WHOLE), &one), (5, 64));
    }

    #[test]
    fn without_tenants_everybody_is_the_open_one() {
        let tenants = Tenants::new(&[], WHOLE);
        assert_eq!(&*tenants.open().unwrap().name, "open");
        assert!(tenants.by_key("").is_none());
    }

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let (_, digest) = new_key().unwrap();
        assert_eq!(KeyDigest::parse(&digest.to_string()), Some(digest));
        for wrong in ["", "sha256:", "sha256:zz", &digest.to_string()[7..]] {
            assert_eq!(KeyDigest::parse(wrong), None, "{wrong}");
        }
    }
}
