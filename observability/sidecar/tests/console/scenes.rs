//! What MusicWallet would send: reads, a failure, a huge trace. Times are Unix nanoseconds.

use sidecar::Store;

use crate::fixture::{CLIENT, INTERNAL, MS, SERVER, Sender, US};

/// Somebody reads a page of songs: gateway, catalog and accounts, each with its database. Takes `scale` times 42 ms.
pub(crate) fn read(store: &dyn Store, trace: u128, begin: u64, scale: f64) {
    let t = |ms: f64| (ms * scale * MS as f64) as u64;
    let mut s = Sender::new(trace, begin);
    let root = s.span(
        None,
        "gateway",
        SERVER,
        "GET /api/musics/",
        (0, t(42.3)),
        &[
            ("http.request.method", "GET"),
            ("http.route", "/api/musics/"),
            ("url.path", "/api/musics/"),
            ("url.query", "search=blue&limit=100"),
            ("url.scheme", "http"),
            ("http.response.status_code", "200"),
            ("server.address", "127.0.0.1"),
            ("server.port", "8080"),
            ("network.protocol.version", "1.1"),
            ("user_agent.original", "curl/8.5.0"),
        ],
    );
    s.link(root, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7);
    let exchange = s.span(
        Some(root),
        "gateway",
        CLIENT,
        "POST /credentials/exchange",
        (t(0.4), t(3.1)),
        &[
            ("http.request.method", "POST"),
            ("server.address", "127.0.0.1"),
            ("server.port", "9101"),
            ("http.response.status_code", "200"),
            ("url.full", "http://127.0.0.1:9101/credentials/exchange"),
        ],
    );
    let accounts = s.span(
        Some(exchange),
        "accounts",
        SERVER,
        "POST /credentials/exchange",
        (t(0.5), t(2.2)),
        &[("http.route", "/credentials/exchange"), ("http.response.status_code", "200")],
    );
    s.span(
        Some(accounts),
        "accounts",
        CLIENT,
        "SELECT tokens",
        (t(0.4), t(1.2)),
        &[
            ("db.system.name", "sqlite"),
            ("db.namespace", "accounts"),
            ("db.query.text", "SELECT user_id, expires_at FROM tokens WHERE hash = $1"),
        ],
    );
    let call = s.span(
        Some(root),
        "gateway",
        CLIENT,
        "GET /musics",
        (t(4.1), t(27.9)),
        &[
            ("http.request.method", "GET"),
            ("server.address", "127.0.0.1"),
            ("server.port", "9102"),
            ("http.response.status_code", "200"),
            ("url.template", "/musics"),
        ],
    );
    let catalog = s.span(
        Some(call),
        "catalog",
        SERVER,
        "GET /musics",
        (t(0.8), t(26.2)),
        &[
            ("http.request.method", "GET"),
            ("http.route", "/musics"),
            ("http.response.status_code", "200"),
        ],
    );
    let search = s.span(
        Some(catalog),
        "catalog",
        INTERNAL,
        "search",
        (t(0.9), t(24.4)),
        &[("search.words", "1"), ("search.limit", "100")],
    );
    s.span(
        Some(search),
        "catalog",
        CLIENT,
        "SELECT musics",
        (t(0.3), t(21.6)),
        &[
            ("db.system.name", "sqlite"),
            ("db.namespace", "catalog"),
            ("db.operation.name", "SELECT"),
            ("db.collection.name", "musics"),
            (
                "db.query.text",
                "SELECT m.id, m.title, m.artist, m.album, m.genre, m.duration_ms, \
                 m.created_by\nFROM musics_search s JOIN musics m ON m.id = s.rowid\n\
                 WHERE s.words MATCH $1 AND m.id > $2\nORDER BY m.id LIMIT $3",
            ),
        ],
    );
    s.log(search, t(22.9), 5, "search found 100 musics", &[("found", "100"), ("more", "true")]);
    let names = s.span(
        Some(root),
        "gateway",
        CLIENT,
        "GET /users/names",
        (t(33.0), t(6.0)),
        &[
            ("http.request.method", "GET"),
            ("server.address", "127.0.0.1"),
            ("server.port", "9101"),
            ("http.response.status_code", "200"),
        ],
    );
    let accounts = s.span(
        Some(names),
        "accounts",
        SERVER,
        "GET /users/names",
        (t(0.7), t(4.4)),
        &[("http.route", "/users/names"), ("http.response.status_code", "200")],
    );
    s.span(
        Some(accounts),
        "accounts",
        CLIENT,
        "SELECT users",
        (t(0.6), t(2.9)),
        &[
            ("db.system.name", "sqlite"),
            ("db.namespace", "accounts"),
            ("db.query.text", "SELECT id, username FROM users WHERE id IN ($1, $2, $3)"),
        ],
    );
    s.log(
        root,
        t(41.8),
        9,
        "answered GET /api/musics/ with 200",
        &[("http.response.status_code", "200"), ("items", "100")],
    );
    s.send(store);
}

/// Somebody adds a song while the catalogue's database is locked: two attempts, then 503.
pub(crate) fn failure(store: &dyn Store, trace: u128, begin: u64) {
    let mut s = Sender::new(trace, begin);
    let root = s.span(
        None,
        "gateway",
        SERVER,
        "POST /api/musics/",
        (0, 1_934 * MS),
        &[
            ("http.request.method", "POST"),
            ("http.route", "/api/musics/"),
            ("http.response.status_code", "503"),
            ("error.type", "503"),
            ("user_agent.original", "python-requests/2.32.3"),
        ],
    );
    s.fail(root, "");
    let exchange = s.span(
        Some(root),
        "gateway",
        CLIENT,
        "POST /credentials/exchange",
        (400 * US, 4 * MS),
        &[("http.response.status_code", "200")],
    );
    s.span(
        Some(exchange),
        "accounts",
        SERVER,
        "POST /credentials/exchange",
        (MS, 2 * MS),
        &[("http.response.status_code", "200")],
    );
    for (attempt, offset) in [6, 982].into_iter().enumerate() {
        let call = s.span(
            Some(root),
            "gateway",
            CLIENT,
            "POST /musics",
            (offset * MS, 948 * MS),
            &[
                ("http.request.method", "POST"),
                ("http.request.resend_count", if attempt == 0 { "0" } else { "1" }),
                ("http.response.status_code", "503"),
                ("error.type", "503"),
            ],
        );
        s.fail(call, "");
        let catalog = s.span(
            Some(call),
            "catalog",
            SERVER,
            "POST /musics",
            (MS, 945 * MS),
            &[
                ("http.route", "/musics"),
                ("http.response.status_code", "503"),
                ("error.type", "503"),
            ],
        );
        s.fail(catalog, "");
        let insert = s.span(
            Some(catalog),
            "catalog",
            CLIENT,
            "INSERT musics",
            (2 * MS, 938 * MS),
            &[
                ("db.system.name", "sqlite"),
                ("db.namespace", "catalog"),
                ("error.type", "SQLITE_BUSY"),
                (
                    "db.query.text",
                    "INSERT INTO musics (title, artist, album, genre, duration_ms, created_by)\n\
                     VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
                ),
            ],
        );
        s.fail(insert, "database is locked");
        s.event(
            insert,
            937 * MS,
            "exception",
            &[
                ("exception.type", "sqlx::Error"),
                ("exception.message", "(code: 5) database is locked"),
                (
                    "exception.stacktrace",
                    "storage::writer::begin\n  at platform/src/storage/writer.rs:88\n\
                     catalog::musics::create\n  at services/catalog/src/musics/create.rs:41",
                ),
            ],
        );
        s.log(insert, 450 * MS, 13, "the writer has waited for 450 ms", &[("waited_ms", "450")]);
        s.log(
            catalog,
            941 * MS,
            17,
            "music could not be stored: database is locked",
            &[("error", "(code: 5) database is locked"), ("retry_after_s", "1")],
        );
        if attempt == 0 {
            s.log(
                root,
                956 * MS,
                13,
                "catalog answered 503, trying once more",
                &[("attempt", "1"), ("budget_left", "0.9")],
            );
        }
    }
    s.log(
        root,
        1_932 * MS,
        17,
        "answered POST /api/musics/ with 503",
        &[("http.response.status_code", "503")],
    );
    s.send(store);
}

/// `batches` times 100 spans below one root, a failed one in the last but one batch.
pub(crate) fn huge(store: &dyn Store, trace: u128, begin: u64, batches: u64) {
    let mut s = Sender::new(trace, begin);
    let root = s.span(
        None,
        "catalog",
        INTERNAL,
        "rebuild search index",
        (0, batches * 100 * MS),
        &[("musics", "26159")],
    );
    for batch in 0..batches {
        let span = s.span(
            Some(root),
            "catalog",
            INTERNAL,
            "batch",
            (batch * 100 * MS, 100 * MS),
            &[("batch", &batch.to_string())],
        );
        for item in 0..99 {
            let leaf = s.span(
                Some(span),
                "catalog",
                CLIENT,
                "UPDATE musics_search",
                (item * MS, MS),
                &[
                    ("db.system.name", "sqlite"),
                    ("db.namespace", "catalog"),
                    ("db.operation.name", "UPDATE"),
                    ("db.collection.name", "musics_search"),
                    ("music.id", &(batch * 99 + item).to_string()),
                    ("db.query.text", "UPDATE musics_search SET words = $1 WHERE rowid = $2"),
                ],
            );
            if batch + 2 == batches && item == 50 {
                s.fail(leaf, "disk I/O error");
                s.log(leaf, 0, 17, "the index could not be written", &[]);
            }
        }
    }
    s.send(store);
}
