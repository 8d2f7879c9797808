//! What people do with MusicWallet, by its public API only.

use std::{num::NonZeroU16, sync::Arc, time::Duration};

use fastrand::Rng;
use reqwest::Method;
use serde_json::json;

use crate::{
    books::Ended,
    drive::drive,
    pace::Pace,
    people::{People, Person, SetupError},
    report::{Report, Setup},
    target::{Request, Target},
};

type Journey = (&'static str, u32, fn(&mut Draw<'_>) -> Request);

/// What is done, how often of 1,000 times, and how. Signing in is not among it: a person has 20 tokens at most, and more sign-ins would
/// end those that the load uses.
const JOURNEYS: [Journey; 10] = [
    ("read", 350, |it| it.get(|it| format!("/api/musics/{}/", it.song()))),
    ("page", 100, |it| it.get(|_| "/api/musics/?limit=50".into())),
    ("search", 150, |it| it.get(|it| format!("/api/musics/?search={}&limit=20", it.word()))),
    ("keep", 130, |it| it.favourite(Method::POST, "add_fav_music")),
    ("favourites", 100, |it| it.get(|it| format!("/api/users/{}/favourites/", it.person.id))),
    ("drop", 70, |it| it.favourite(Method::DELETE, "remove_fav_music")),
    ("create", 40, |it| it.create()),
    // What is refused.
    ("unknown_caller", 20, |it| it.unknown_caller()), // 401
    ("wrong_body", 20, |it| it.wrong_body()),         // 400
    ("unknown_path", 20, |it| it.get(|_| "/api/nothing/".into())), // 404
];

/// What words begin with that are searched for.
const WORDS: [&str; 8] = ["a", "be", "ma", "ni", "ro", "so", "sta", "the"];

/// We leave a request up to so long after it was sent: some before the server has read it, which then may never know of it, some in the
/// middle, some after the answer.
const LEAVE_WITHIN_MICROS: u64 = 10_000;

/// A load of people.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// From where the random numbers start: the same seed is the same plan.
    pub seed: u64,
    /// How many people; they sign up one after the other, so not too many.
    pub people: NonZeroU16,
    /// The share of requests that are left in the middle, 0 to 1.
    pub abort_share: f64,
    /// How requests arrive.
    pub pace: Pace,
}

/// A load whose people are there.
#[derive(Debug)]
pub struct Journeys {
    target: Target,
    load: Load,
    setup: Setup,
    plan: Plan,
}

impl Journeys {
    /// Lets the people sign up and in; `told` hears of every answer.
    ///
    /// # Errors
    /// When one of them cannot come.
    pub async fn prepare(
        target: &Target,
        load: &Load,
        told: impl FnMut(&Ended),
    ) -> Result<Journeys, SetupError> {
        let deadline = load.pace.deadline;
        let (people, setup) = People::arrive(target, load.people, deadline, told).await?;
        let plan = Plan::new(load, people);
        Ok(Journeys { target: target.clone(), load: *load, setup, plan })
    }

    /// Runs the load; `told` hears of every request that is over. Whatever goes wrong is a number of the report.
    pub async fn run(mut self, told: impl FnMut(&Ended)) -> Report {
        let run = drive(&self.target, &self.load.pace, || self.plan.next(), told).await;
        Report::new(&self.load, self.setup, run)
    }
}

/// An endless sequence of requests.
#[derive(Debug)]
struct Plan {
    rng: Rng,
    people: People,
    abort_share: f64,
}

impl Plan {
    fn new(load: &Load, people: People) -> Plan {
        Plan { rng: Rng::with_seed(load.seed), people, abort_share: load.abort_share }
    }

    fn next(&mut self) -> Request {
        // Each request has a generator of its own, so that none depends on how many numbers those before it have used.
        let mut rng = self.rng.fork();
        let aborted = rng.f64() < self.abort_share;
        let leave = Duration::from_micros(rng.u64(..LEAVE_WITHIN_MICROS));
        let (action, _, make) = journey(rng.u32(..1_000));
        let person = &self.people.people[rng.usize(..self.people.people.len())];
        let mut draw = Draw { action, rng, person, songs: &self.people.songs };
        let mut request = make(&mut draw);
        request.abort_after = aborted.then_some(leave);
        request
    }
}

/// The journey that a number below 1,000 falls on.
fn journey(mut lot: u32) -> &'static Journey {
    JOURNEYS
        .iter()
        .find(|(_, weight, _)| {
            let found = lot < *weight;
            lot = lot.saturating_sub(*weight);
            found
        })
        .unwrap_or(&JOURNEYS[0])
}

/// What one request is made of.
struct Draw<'a> {
    action: &'static str,
    rng: Rng,
    person: &'a Person,
    songs: &'a [i64],
}

impl Draw<'_> {
    fn get(&mut self, path: impl FnOnce(&mut Self) -> String) -> Request {
        let path = path(self);
        self.request(Method::GET, path)
    }

    fn favourite(&mut self, method: Method, what: &str) -> Request {
        let song = self.song();
        self.request(method, format!("/api/users/{song}/{what}/"))
    }

    fn create(&mut self) -> Request {
        let title = format!("Load {:016x}", self.rng.u64(..));
        let song = json!({"title": title, "artist": "Load"});
        Request { body: Some(song), ..self.request(Method::POST, "/api/musics/".into()) }
    }

    fn unknown_caller(&mut self) -> Request {
        let token = Some(Arc::from("0000000000000000000000000000000000000000"));
        Request { token, ..self.get(|it| format!("/api/musics/{}/", it.song())) }
    }

    /// A song without a title.
    fn wrong_body(&mut self) -> Request {
        let song = json!({"artist": "Load"});
        Request { body: Some(song), ..self.request(Method::POST, "/api/musics/".into()) }
    }

    fn request(&self, method: Method, path: String) -> Request {
        let token = Some(Arc::clone(&self.person.token));
        Request { token, ..Request::new(self.action, method, path) }
    }

    fn song(&mut self) -> i64 {
        self.songs[self.rng.usize(..self.songs.len())]
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.rng.usize(..WORDS.len())]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::pace::{End, Rate};

    fn plan(seed: u64, abort_share: f64) -> Vec<Request> {
        let pace = Pace::new(Rate::per_second(1.0).unwrap(), End::Arrivals(1));
        let person = |id| Person { id, token: format!("token {id}").into() };
        let people = People { people: (1..=7).map(person).collect(), songs: (1..=30).collect() };
        let mut plan =
            Plan::new(&Load { seed, people: NonZeroU16::MIN, abort_share, pace }, people);
        (0..10_000).map(|_| plan.next()).collect()
    }

    #[test]
    fn a_seed_is_a_plan() {
        assert_eq!(plan(1, 0.0), plan(1, 0.0));
        assert_ne!(plan(1, 0.0)[..20], plan(2, 0.0)[..20]);
    }

    #[test]
    fn every_journey_has_its_share_and_weights_are_of_a_thousand() {
        assert_eq!(JOURNEYS.iter().map(|(_, weight, _)| weight).sum::<u32>(), 1_000);
        let mut seen = BTreeMap::new();
        for request in plan(3, 0.0) {
            *seen.entry(request.action).or_insert(0) += 1;
        }
        for (action, weight, _) in JOURNEYS {
            let expected = f64::from(weight * 10);
            let share = f64::from(seen[action]) / expected;
            assert!((0.8..1.2).contains(&share), "{action}: {} for {expected}", seen[action]);
        }
    }

    #[test]
    fn what_is_aborted_is_a_share_and_changes_nothing_else() {
        let mut some = plan(4, 0.1);
        let aborted = some.iter().filter(|request| request.abort_after.is_some()).count();
        assert!((900..1_100).contains(&aborted), "{aborted} of 10,000");
        some.iter_mut().for_each(|request| request.abort_after = None);
        assert_eq!(some, plan(4, 0.0));
        assert!(plan(4, 1.0).iter().all(|request| request.abort_after.is_some()));
    }
}
