use tracing_subscriber::{layer::SubscriberExt, registry::Registry};

use super::*;
use crate::logs::Stdout;

/// Behind it is no thread, so that nothing happens by itself.
fn gate() -> (Gate, Arc<Shared>, tracing_loki::Builder, Url) {
    let config = Config::silent("test");
    let books = Shipped::default();
    let shared = Arc::new(Shared {
        open: RwLock::new(Open::Closed(books.withheld("unreachable"))),
        enough: Notify::new(),
        trouble: Notify::new(),
        troubles: AtomicU64::new(0),
        full: books.withheld("queue_full"),
        books,
        status: crate::logs::stdout_only(&config, &Stdout::none()),
    });
    let (builder, url) = (tracing_loki::builder(), Url::parse("http://127.0.0.1:1/").unwrap());
    let (spans, _) = builder.clone().build_url(url.clone()).unwrap();
    (Gate { shared: shared.clone(), spans }, shared, builder, url)
}

#[test]
fn a_closed_gate_counts_with_its_reason_and_a_full_shipment_takes_no_more() {
    let (gate, shared, builder, url) = gate();
    let subscriber = Dispatch::new(Registry::default().with(gate));
    let lines = |count| with_default(&subscriber, || (0..count).for_each(|_| tracing::info!("x")));
    lines(3);
    assert_eq!((shared.books.fed.get(), shared.books.withheld("unreachable").get()), (0, 3));

    let (layer, _task) = builder.build_url(url).unwrap();
    let taking = Arc::new(Taking { layer, offered: AtomicU64::new(0) });
    shared.set(Open::Taking(taking.clone()));
    lines(LINES + 5);
    assert_eq!((shared.books.fed.get(), taking.fed()), (LINES, LINES));
    assert_eq!(shared.books.in_flight.get(), LINES as i64);
    assert_eq!(shared.books.withheld("queue_full").get(), 5);

    shared.close("stopping");
    lines(2);
    assert_eq!(shared.books.withheld("stopping").get(), 2);
    assert_eq!((shared.books.fed.get(), shared.books.lost()), (LINES, (10, 0)));
}

#[test]
fn a_span_that_began_before_the_gate_opened_has_its_fields_in_lines_that_come_later() {
    let (gate, shared, builder, url) = gate();
    let subscriber = Dispatch::new(Registry::default().with(gate));
    with_default(&subscriber, || {
        let span = tracing::info_span!("before", late = tracing::field::Empty).entered();
        let (layer, _task) = builder.build_url(url).unwrap();
        shared.set(Open::Taking(Arc::new(Taking { layer, offered: AtomicU64::new(0) })));
        span.record("late", 1);
        tracing::info!("it would panic here");
    });
    assert_eq!(shared.books.fed.get(), 1);
}
