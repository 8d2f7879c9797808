"""The databases, as the services see them (pools and statements) and as PostgreSQL sees itself."""

import table as t
from kit import Dashboard, Panel, in_jaeger, in_loki, promql, quantile, rate, share, to

THESE = 'service_name=~"$service_name"'
POOL = "db_client_connection_pool_name"
EACH_POOL = f"service_name, {POOL}"
STATEMENTS = "db_client_operation_duration_seconds"
STATEMENT = "service_name, db_query_summary"
NAMED = "{{service_name}}: {{db_query_summary}}"
ITS_SERVICE = "${__field.labels.service_name}"
OF_IT = [to("service", "Its service", service_name=ITS_SERVICE), in_jaeger(ITS_SERVICE)]
WARNINGS = in_loki('{service_name=~"${service_name:regex}"} | detected_level=~"warn|error"', "Warnings and errors in Loki")
DATABASE = 'datname!~"template.*|"'
HIT, READ = (rate(f"pg_stat_database_blks_{which}", DATABASE, "datname") for which in ("hit", "read"))

BOARD = Dashboard(
    "databases",
    "The databases: who waits for a connection, which statement is slow, and how the server does.",
    {
        "Pools": [
            Panel(
                "Connections",
                "Connections of each pool that are in use: at its limit, which is the line of the same pool, requests wait.",
                [
                    promql(
                        f'sum by ({EACH_POOL}) (db_client_connection_count{{{THESE}, db_client_connection_state="used"}})',
                        f"{{{{{POOL}}}}} used",
                    ),
                    promql(
                        f'sum by ({EACH_POOL}) (db_client_connection_count{{{THESE}, db_client_connection_state="idle"}})',
                        f"{{{{{POOL}}}}} idle",
                    ),
                    promql(f"sum by ({EACH_POOL}) (db_client_connection_max{{{THESE}}})", f"{{{{{POOL}}}}} limit"),
                ],
                [WARNINGS],
                t.COUNT,
                runbooks=("pool-saturated",),
                each=OF_IT,
            ),
            Panel(
                "Requests that wait for a connection",
                "How many wait now, by pool: more than 0 for long is a database that is too slow or a pool that is too small.",
                [promql(f"sum by ({EACH_POOL}) (db_client_connection_pending_requests{{{THESE}}})", f"{{{{{POOL}}}}}")],
                [WARNINGS],
                t.COUNT,
                steps=t.NONE_WANTED,
                each=OF_IT,
            ),
            Panel(
                "Time to get a connection",
                "How long 95 of 100 wait for a connection, by pool; after 1 s they are refused.",
                [promql(quantile("db_client_connection_wait_time_seconds", THESE, EACH_POOL), f"{{{{{POOL}}}}}")],
                [WARNINGS],
                t.SECONDS,
                steps=t.slower_than(1),
                each=OF_IT,
            ),
            Panel(
                "Connections not got",
                "Requests that got no connection within 1 s and were answered 503, by pool.",
                [promql(rate("db_client_connection_timeouts_total", THESE, EACH_POOL), f"{{{{{POOL}}}}}")],
                [WARNINGS],
                t.RATE,
                steps=t.ANY_LOSS,
                each=OF_IT,
            ),
            Panel(
                "Pools in use",
                "The share of each pool that is in use now.",
                [
                    promql(
                        f'max by ({EACH_POOL}) (db_client_connection_count{{{THESE}, db_client_connection_state="used"}}'
                        f" / ignoring (db_client_connection_state) group_left db_client_connection_max{{{THESE}}})",
                        f"{{{{{POOL}}}}}",
                        instant=True,
                    )
                ],
                [WARNINGS],
                t.RATIO,
                "bars",
                steps=t.USED,
                top=1,
                each=OF_IT,
            ),
            Panel(
                "Failed statements",
                "The share of statements that ended with an error of the database, or not in time.",
                [
                    promql(
                        share(
                            rate(f"{STATEMENTS}_count", f'{THESE}, error_type!~"|cancelled"', "service_name"),
                            rate(f"{STATEMENTS}_count", THESE, "service_name"),
                        ),
                        "{{service_name}}",
                    )
                ],
                [WARNINGS],
                t.RATIO,
                steps=t.ERRORS,
                colours=t.SERVICES,
                each=OF_IT,
            ),
        ],
        "Statements": [
            Panel(
                "Statements per second",
                "Which statements run how often.",
                [promql(rate(f"{STATEMENTS}_count", THESE, STATEMENT), NAMED)],
                [WARNINGS],
                t.RATE,
                stacked=True,
                each=OF_IT,
            ),
            Panel(
                "p95 by statement",
                "Which statements are slow, the wait for a connection included.",
                [promql(quantile(STATEMENTS, THESE, STATEMENT), NAMED)],
                [WARNINGS],
                t.SECONDS,
                each=OF_IT,
            ),
            Panel(
                "Time by statement",
                "How many are in each statement on average, waiting for a connection or in it: the highest one is where an index or a cache pays.",
                [promql(rate(f"{STATEMENTS}_sum", THESE, STATEMENT), NAMED)],
                [WARNINGS],
                t.COUNT,
                stacked=True,
                each=OF_IT,
            ),
        ],
        "PostgreSQL": [
            Panel(
                "Server reached",
                "Whether the exporter reaches the server: 1 it does, 0 it does not.",
                [promql("pg_up", "{{server}}", instant=True)],
                [to("runtime")],
                t.STATE,
                "number",
                width=4,
                steps=t.UP,
                runbooks=("database-down",),
            ),
            Panel(
                "Server's connections in use",
                "The share of the server's connections that are open, of all databases together: at 100 % nobody gets one.",
                [promql("sum by (server) (pg_stat_activity_count) / on (server) pg_settings_max_connections", "{{server}}", instant=True)],
                [WARNINGS, to("service")],
                t.RATIO,
                "number",
                width=4,
                steps=t.USED,
                runbooks=("database-connections-short",),
            ),
            Panel(
                "Connections by state",
                "What the server's connections do: many that are idle in a transaction are held by somebody who forgot them.",
                [promql(f"sum by (datname, state) (pg_stat_activity_count{{{DATABASE}}}) > 0", "{{datname}} {{state}}")],
                [WARNINGS, to("service")],
                t.COUNT,
                stacked=True,
            ),
            Panel(
                "Transactions",
                "Transactions per second that were committed, and rolled back, by database.",
                [
                    promql(rate("pg_stat_database_xact_commit", DATABASE, "datname"), "{{datname}} committed"),
                    promql(rate("pg_stat_database_xact_rollback", DATABASE, "datname"), "{{datname}} rolled back"),
                ],
                [WARNINGS, to("service")],
                t.RATE,
            ),
            Panel(
                "Blocks found in memory",
                "The share of blocks that the server had in memory: much less than 99 % reads from the disk.",
                [
                    promql(
                        share(HIT, f"({HIT} + {READ})"),
                        "{{datname}}",
                    )
                ],
                [to("runtime")],
                t.RATIO,
                top=1,
            ),
            Panel(
                "Longest transaction",
                "How long the oldest open transaction has run, by database: a long one keeps locks and old rows.",
                [promql(f"max by (datname) (pg_stat_activity_max_tx_duration{{{DATABASE}}})", "{{datname}}")],
                [WARNINGS, to("service")],
                t.SECONDS,
                steps=t.slower_than(5),
            ),
            Panel(
                "Size",
                "Disk space that each database takes.",
                [promql(f"max by (datname) (pg_database_size_bytes{{{DATABASE}}})", "{{datname}}")],
                [to("runtime")],
                t.BYTES,
            ),
            Panel(
                "Locks",
                "Locks that are held, by database and mode.",
                [promql(f"sum by (datname, mode) (pg_locks_count{{{DATABASE}}})", "{{datname}} {{mode}}")],
                [WARNINGS, to("service")],
                t.COUNT,
                width=12,
            ),
            Panel(
                "Deadlocks and conflicts",
                (
                    "Transactions that the server ended because they waited for each other, and temporary files that were too "
                    "large for memory."
                ),
                [
                    promql(rate("pg_stat_database_deadlocks", DATABASE, "datname"), "{{datname}} deadlocks"),
                    promql(rate("pg_stat_database_temp_files", DATABASE, "datname"), "{{datname}} temporary files"),
                ],
                [WARNINGS, to("service")],
                t.RATE,
                width=12,
                steps=t.ANY_LOSS,
            ),
        ],
    },
    [t.DATABASE_SERVICE],
)
