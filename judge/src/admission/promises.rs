//! What those who were refused were told: when to come back, so that there is room for them then.
//! Pure: the time is handed in.
//!
//! Each refusal books places in a later second, at the rate at which places are freed, behind all that
//! was booked before. Who is new gets in only where that leaves room for everybody who was told to
//! come. Who comes back is known by the digest of what was sent; equal requests stand for each other,
//! so that one may take the place of another, who is told anew. An `id` in a submission tells them apart.
//! A place that nobody came for is given up some seconds after its time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::limits::{
    PLACE_KEPT_SECONDS, PLACES_BOOKED_MAX, PLACES_OF_ONE_MAX, RETRY_AFTER_SECONDS_MAX,
};

/// The part of a second's freed places that returns are counted upon to leave time for.
const SPREAD: f64 = 0.25;

/// Room of one kind: it is taken, and freed with time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// What is free.
    pub(super) free: f64,
    /// What becomes free in a second.
    pub(super) per_second: f64,
    /// What is free when nothing is taken.
    pub(super) max: f64,
    /// What those with a place may take beyond all of it: a promise holds though less became free
    /// meanwhile than was to be expected.
    pub(super) beyond: f64,
    /// Whoever comes gets in where so much stays free, whatever is booked: places that nobody comes
    /// for must not keep an idle service from working.
    pub(super) plenty: f64,
}

impl Room {
    fn free_at(&self, second: u64, now: Duration) -> f64 {
        // A little more, as sums of fractions are not exact.
        self.free + self.per_second * (seconds(second) - now.as_secs_f64()).max(0.0) + 1e-6
    }

    /// Whether so much is free.
    fn has(&self, count: f64) -> bool {
        count <= self.free
    }

    /// Whether somebody with a place gets in.
    pub(super) fn keeps_word(&self, count: f64) -> bool {
        count <= self.free + self.beyond
    }
}

/// What is booked of one kind of room, by the second in which it is wanted.
#[derive(Debug, Default)]
pub(super) struct Booked(BTreeMap<u64, f64>);

impl Booked {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, second: u64, count: f64) {
        if count > 0.0 {
            *self.0.entry(second).or_default() += count;
        }
    }

    pub(super) fn remove(&mut self, second: u64, count: f64) {
        if let Some(booked) = self.0.get_mut(&second) {
            *booked -= count;
            // Sums of fractions are not exact; what is less than a place is none.
            if *booked < 1e-3 {
                self.0.remove(&second);
            }
        }
    }

    /// Whether somebody without a place gets in.
    pub(super) fn spares(&self, room: &Room, count: f64, now: Duration) -> bool {
        room.has(count)
            && (room.free - count >= room.plenty || self.last_without(room, count, now).is_none())
    }

    /// The last second in which there would be too little, if `count` more were taken now.
    fn last_without(&self, room: &Room, count: f64, now: Duration) -> Option<u64> {
        let mut wanted = count;
        let mut last = None;
        for (second, booked) in &self.0 {
            wanted += booked;
            if room.free_at(*second, now) < wanted {
                last = Some(*second);
            }
        }
        last
    }

    /// After how many whole seconds there is room for `count` more, behind all that is booked. Few
    /// more are told to come in the same second than there are places: they may all come at once.
    pub(super) fn earliest(&self, room: &Room, count: f64, now: Duration) -> Option<u64> {
        let last = self.last_without(room, count, now);
        let mut booked = self.0.iter().peekable();
        let mut wanted = count;
        (1..=RETRY_AFTER_SECONDS_MAX).find(|wait| {
            let second = second_of(now, *wait);
            let mut same = 0.0;
            while let Some((at, more)) = booked.next_if(|(at, _)| **at <= second) {
                wanted += more;
                same = if *at == second { *more } else { 0.0 };
            }
            last.is_none_or(|last| last < second)
                && count <= room.max
                && same + count <= room.max + room.per_second * SPREAD
                && wanted <= room.free_at(second, now)
        })
    }
}

/// The second in which somebody comes who is told now to wait.
pub(super) fn second_of(now: Duration, wait: u64) -> u64 {
    now.as_secs().saturating_add(wait)
}

fn seconds(second: u64) -> f64 {
    f64::from(u32::try_from(second).unwrap_or(u32::MAX))
}

/// Who has places: a tenant, and the digest of what it sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Guest {
    pub(super) tenant: Arc<str>,
    pub(super) mark: u64,
}

/// Places that are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    /// In which second.
    pub(super) second: u64,
    /// Submissions.
    pub(super) count: usize,
    /// What they take of the tenant's allowance.
    pub(super) tokens: f64,
}

/// When a place is wanted, and its number.
type When = (u64, u64);

/// Who has which places.
#[derive(Debug, Default)]
pub(super) struct Promises {
    places: HashMap<Guest, BTreeMap<When, Place>>,
    by_second: BTreeMap<When, Guest>,
    next: u64,
}

impl Promises {
    /// Keeps a place for a guest.
    pub(super) fn keep(&mut self, guest: &Guest, place: Place) -> Kept {
        let own = self.places.get(guest);
        if let Some((_, last)) =
            own.filter(|own| own.len() >= PLACES_OF_ONE_MAX).and_then(BTreeMap::last_key_value)
        {
            return Kept::Before(*last);
        }
        if self.by_second.len() >= PLACES_BOOKED_MAX {
            return Kept::Nothing;
        }
        let when = (place.second, self.next);
        self.places.entry(guest.clone()).or_default().insert(when, place);
        self.by_second.insert(when, guest.clone());
        self.next += 1;
        Kept::Place
    }

    /// The place of a guest whose time has come, or else its last, which is kept no longer.
    pub(super) fn take(&mut self, guest: &Guest, now: Duration) -> Option<Taken> {
        let own = self.places.get(guest)?;
        let first = own.first_key_value().filter(|((second, _), _)| *second <= now.as_secs());
        let is_due = first.is_some();
        let (when, place) = first.or_else(|| own.last_key_value())?;
        let (when, place) = (*when, *place);
        self.remove(guest, when);
        Some(Taken { place, is_due })
    }

    /// A place whose guest did not come in time.
    pub(super) fn missed(&mut self, now: Duration) -> Option<(Guest, Place)> {
        let over = now.as_secs().checked_sub(PLACE_KEPT_SECONDS)?;
        let (when, guest) = self.by_second.first_key_value().filter(|(when, _)| when.0 < over)?;
        let (when, guest) = (*when, guest.clone());
        let place = self.remove(&guest, when)?;
        Some((guest, place))
    }

    fn remove(&mut self, guest: &Guest, when: When) -> Option<Place> {
        self.by_second.remove(&when);
        let own = self.places.get_mut(guest)?;
        let place = own.remove(&when);
        if own.is_empty() {
            self.places.remove(guest);
        }
        place
    }
}

/// A place that is kept no longer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Taken {
    pub(super) place: Place,
    /// Whether its time has come.
    pub(super) is_due: bool,
}

/// What became of a wish for a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kept {
    /// It is kept.
    Place,
    /// The guest has enough of them; this is its last.
    Before(Place),
    /// There are too many.
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_millis(10_900);

    fn room(free: f64, per_second: f64, max: f64) -> Room {
        Room { free, per_second, max, beyond: 0.0, plenty: f64::INFINITY }
    }

    fn guest(mark: u64) -> Guest {
        Guest { tenant: "t".into(), mark }
    }

    #[test]
    fn each_is_told_to_come_behind_those_before() {
        let mut booked = Booked::default();
        let full = room(0.0, 10.0, 100.0);
        let told: Vec<u64> = (0..35)
            .map(|_| {
                let wait = booked.earliest(&full, 1.0, NOW).unwrap();
                booked.add(second_of(NOW, wait), 1.0);
                wait
            })
            .collect();
        // The second 11 begins in 0.1 s, and one place is free then; each later second has ten more.
        assert_eq!(told[0], 1);
        assert_eq!(told[1..11], [2; 10]);
        assert_eq!(told[11..21], [3; 10]);
        assert_eq!(told[34], 5);
        // Many places at once come behind as well, and what can never be is told nobody.
        assert_eq!(booked.earliest(&full, 50.0, NOW), Some(10));
        assert_eq!(booked.earliest(&full, 101.0, NOW), None);
    }

    #[test]
    fn few_more_come_in_a_second_than_there_are_places() {
        let mut booked = Booked::default();
        let small = room(0.0, 8.0, 2.0);
        for wait in [2, 2, 2, 2, 3, 3, 3, 3, 4] {
            assert_eq!(booked.earliest(&small, 1.0, NOW), Some(wait));
            booked.add(second_of(NOW, wait), 1.0);
        }
    }

    #[test]
    fn who_is_new_gets_in_where_that_breaks_no_promise() {
        let mut booked = Booked::default();
        booked.add(12, 5.0);
        assert!(!booked.spares(&room(0.0, 9.0, 9.0), 1.0, NOW));
        // In 1.1 s nine become free, of which five are promised.
        assert!(booked.spares(&room(1.0, 9.0, 9.0), 1.0, NOW));
        assert!(booked.spares(&room(9.0, 0.0, 9.0), 4.0, NOW));
        assert!(!booked.spares(&room(9.0, 0.0, 9.0), 5.0, NOW));
        assert!(booked.spares(&Room { plenty: 4.0, ..room(9.0, 0.0, 9.0) }, 5.0, NOW));
        // Whoever was told to come and has not yet come keeps the place.
        let late = Duration::from_secs(14);
        assert!(!booked.spares(&room(5.0, 9.0, 9.0), 1.0, late));
        booked.remove(12, 5.0);
        assert!(booked.spares(&room(5.0, 9.0, 9.0), 5.0, late));
        assert!(booked.0.is_empty());
    }

    #[test]
    fn a_place_is_its_guests_until_some_seconds_after_its_time() {
        let mut promises = Promises::default();
        let place = |second| Place { second, count: 3, tokens: 0.0 };
        assert_eq!(promises.keep(&guest(1), place(12)), Kept::Place);
        assert_eq!(promises.keep(&guest(1), place(13)), Kept::Place);
        assert_eq!(promises.keep(&guest(2), place(13)), Kept::Place);
        let at = Duration::from_secs;
        let taken = |second, is_due| Some(Taken { place: place(second), is_due });
        assert_eq!(promises.take(&guest(3), at(12)), None);
        assert_eq!(promises.take(&guest(1), at(11)), taken(13, false));
        assert_eq!(promises.keep(&guest(1), place(13)), Kept::Place);
        assert_eq!(promises.take(&guest(1), at(12)), taken(12, true));
        assert_eq!(promises.take(&guest(1), at(13)), taken(13, true));
        assert_eq!(promises.take(&guest(1), at(13)), None);
        assert_eq!(promises.missed(at(13 + PLACE_KEPT_SECONDS)), None);
        let missed = promises.missed(at(14 + PLACE_KEPT_SECONDS));
        assert_eq!(missed, Some((guest(2), place(13))));
        assert_eq!(promises.missed(at(100)), None);
        assert!(promises.places.is_empty() && promises.by_second.is_empty());
    }

    #[test]
    fn places_are_bounded_for_each_and_for_all() {
        let mut promises = Promises::default();
        let place = |second| Place { second, count: 1, tokens: 0.0 };
        for second in 0..PLACES_OF_ONE_MAX as u64 {
            assert_eq!(promises.keep(&guest(0), place(second)), Kept::Place);
        }
        let last = place(PLACES_OF_ONE_MAX as u64 - 1);
        assert_eq!(promises.keep(&guest(0), place(99)), Kept::Before(last));
        let mut mark = 0;
        while promises.by_second.len() < PLACES_BOOKED_MAX {
            mark += 1;
            assert_eq!(promises.keep(&guest(mark), place(7)), Kept::Place);
        }
        assert_eq!(promises.keep(&guest(mark + 1), place(7)), Kept::Nothing);
    }
}
