//! The operators' stack: everything that is shipped for operators is executed against the real programs: each query, each link, each call
//! that Grafana makes.

mod anger;
mod calls;
mod links;
mod names;
mod panels;
mod shipped;
mod system;

use real::stack::Stack;

use self::system::{Load, System};

/// One load for all of them: it takes half a minute.
#[test]
fn what_is_shipped_for_operators_shows_a_load_and_leads_from_one_signal_to_the_other() {
    let system = System::start(Stack::start, &[]);
    let load = Load::run(&system);
    panels::each_query_has_data(&system, &load);
    panels::each_figure_is_that_of_the_load(&system, &load);
    links::each_leads_there_and_back(&system, &load);
    links::each_panel_leads_on(&system, &load);
    calls::each_is_answered(&system, &load);
    names::each_exists(&system);
}
