//! The operators' stack: everything that is shipped for operators is executed against the real programs: each query, each link, each call
//! that Grafana makes.

mod anger;
mod calls;
mod links;
mod names;
mod panels;
mod system;

use std::panic::{AssertUnwindSafe, catch_unwind};

use self::system::{Load, Pace, System};
use crate::{documents, harness::root};

/// One load for all of them: it takes half a minute.
#[test]
fn what_is_shipped_for_operators_shows_a_load_and_leads_from_one_signal_to_the_other() {
    let system = System::start(Pace::Usual, &[]);
    system.tell_costs();
    let load = Load::run(&system);
    system.tell_series();
    let parts: [(&str, &dyn Fn()); 6] = [
        ("queries", &|| panels::each_query_has_data(&system, &load)),
        ("figures", &|| panels::each_figure_is_that_of_the_load(&system, &load)),
        ("links between signals", &|| links::each_leads_there_and_back(&system)),
        ("links of panels", &|| links::each_panel_leads_on(&system, &load)),
        ("Grafana's calls", &|| calls::each_is_answered(&system, &load)),
        ("names", &|| names::each_exists(&system)),
    ];
    // Each says what is wrong with it, whether another one fails or not.
    let fails = |part: &&(&str, &dyn Fn())| catch_unwind(AssertUnwindSafe(|| part.1())).is_err();
    let failed: Vec<&str> = parts.iter().filter(fails).map(|it| it.0).collect();
    assert!(failed.is_empty(), "failed: {failed:?}; see above");
}

/// In a hurry, as `anger` is: with the usual times an alert needs minutes to come, and more to go.
#[test]
fn the_tutorial_that_finds_the_culprit() {
    let system = System::start(Pace::Hurried, &[]);
    let (app, stack) = (&system.app, &system.stack);
    let values = [
        ("API", app.url("gateway", "api")),
        ("CONSOLE", app.url("sidecar", "console")),
        ("JAEGER", stack.jaeger.url()),
        ("LOKI", stack.loki.url()),
        ("PROMETHEUS", stack.prometheus.url()),
        ("ALERTMANAGER", stack.alertmanager.url()),
        ("WALLET_PID", app.process("wallet").id().to_string()),
        ("REPOSITORY", root().display().to_string()),
    ];
    documents::run("docs/tutorials/find-the-culprit.md", &values, &[]);
}
