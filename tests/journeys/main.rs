//! Journeys across the services: the program is really started, in both shapes, and seen as its users see it.

mod alerts;
mod bad_input;
mod contract;
#[expect(dead_code, reason = "tests/real uses the rest of it")]
mod harness;
mod importing;
mod library;
mod loading;
mod loki;
mod losses;
mod musics;
mod operating;
mod papers;
mod people;
mod prober;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "it is of tests/real, whose page about telemetry needs the rest"
)]
#[path = "../real/schema.rs"]
mod registry;
mod schema;
mod signals;
mod starting;
#[expect(dead_code, reason = "`tests/real` uses the rest of it")]
mod table;
