"""What people do, from the gateway through the services behind it."""

import table as t
from kit import Dashboard, Panel, in_jaeger, in_loki, promql, quantile, rate, share, to, traces

REQUESTS = "http_server_request_duration_seconds"
COUNT = f"{REQUESTS}_count"
CALLS = "http_client_request_duration_seconds"
PUBLIC = 'service_name="gateway", journey=~"$journey"'  # what people see
ROUTE = "http_request_method, http_route"
ROUTE_NAMED = "{{http_request_method}} {{http_route}}"
TRACES = in_jaeger("gateway")
LINES = in_loki('{service_name="gateway"}')
GATEWAY = to("service", "The gateway", service_name="gateway")
SERVICE = [to("service", "This service", service_name="${__field.labels.service_name}")]


def fast(journey: str, seconds: float) -> str:
    """The share of a journey's requests within its bound, as its objective counts them."""
    those = f'{PUBLIC}, journey="{journey}", {t.ANSWERED}'
    return share(rate(f"{REQUESTS}_bucket", f'{those}, le="{seconds}"'), rate(COUNT, those))


BOARD = Dashboard(
    "journey",
    "What people do, from the gateway through the services behind it: where is it slow, where does it fail?",
    {
        "Objectives of journeys": [
            Panel(
                "Availability",
                "The share of each journey's requests that do not end with 5xx; below the line the objective is missed.",
                [promql(f"1 - {share(rate(COUNT, f'{PUBLIC}, {t.FAILED}', 'journey'), rate(COUNT, PUBLIC, 'journey'))}", "{{journey}}")],
                [
                    to("overview"),
                    in_loki('{service_name="gateway"} | detected_level=~"warn|error"', "The gateway's warnings and errors in Loki"),
                ],
                t.RATIO,
                steps=t.AVAILABLE,
                colours=t.JOURNEY,
                top=1,
                around=0.99,
                runbooks=("availability-burning",),
            ),
            Panel(
                "Fast enough",
                (
                    "The share of requests within the bound of their journey (sign-ins 500 ms, reads 100 ms, writes 250 ms); below "
                    "the line the objective is missed."
                ),
                [promql(fast(journey, seconds), journey) for journey, seconds in t.LATENCY.items()],
                [to("overview"), TRACES],
                t.RATIO,
                steps=t.FAST_ENOUGH,
                colours=t.JOURNEY,
                top=1,
                around=0.95,
                runbooks=("latency-burning",),
            ),
            Panel(
                "Whose budget burns",
                (
                    "How fast each service spends its own budget for these journeys: the one at the end of the chain that burns is "
                    "the culprit."
                ),
                [
                    promql(
                        'max by (service_name, journey, objective) (slo:current_burn_rate:ratio{journey=~"$journey"})',
                        "{{service_name}}: {{journey}}, {{objective}}",
                    )
                ],
                [to("overview"), GATEWAY],
                t.TIMES,
                steps=t.BURN,
                each=SERVICE,
                runbooks=("availability-burning", "latency-burning"),
            ),
        ],
        "Requests at the gateway": [
            Panel(
                "Requests per second by journey",
                "How often people sign in, read, write and import.",
                [promql(rate(COUNT, PUBLIC, "journey"), "{{journey}}")],
                [GATEWAY, TRACES],
                t.REQUESTS,
                width=6,
                colours=t.JOURNEY,
                stacked=True,
            ),
            Panel(
                "Requests by route",
                "What is asked of the public API.",
                [promql(rate(COUNT, PUBLIC, ROUTE), ROUTE_NAMED)],
                [GATEWAY, LINES],
                t.REQUESTS,
                width=6,
                stacked=True,
            ),
            Panel(
                "p95 by route",
                "What is slow at the public API; a dot is one request and leads to its trace.",
                [promql(quantile(REQUESTS, PUBLIC, ROUTE), ROUTE_NAMED, exemplars=True)],
                [TRACES, GATEWAY],
                t.SECONDS,
                width=6,
            ),
            Panel(
                "Answers by status",
                "How requests end at the public API: 4xx are mistakes of who asks, 5xx are ours.",
                [
                    promql(
                        rate(COUNT, f'{PUBLIC}, http_response_status_code!=""', "http_response_status_code"),
                        "{{http_response_status_code}}",
                    )
                ],
                [LINES, GATEWAY],
                t.REQUESTS,
                width=6,
                colours=t.STATUS,
                stacked=True,
            ),
        ],
        "Calls between services": [
            Panel(
                "Calls per second",
                "Which service asks which question of another one.",
                [
                    promql(
                        rate(f"{CALLS}_count", "", "service_name, http_request_method, url_template"),
                        "{{service_name}}: {{http_request_method}} {{url_template}}",
                    )
                ],
                [to("service", "Who calls", service_name="gateway"), TRACES],
                t.REQUESTS,
                stacked=True,
            ),
            Panel(
                "Failed calls",
                "The share of calls without an answer, or with 5xx: the culprit is who is called, or the way to it.",
                [
                    promql(
                        share(
                            rate(f"{CALLS}_count", 'error_type!~"|4..|cancelled"', "service_name, url_template"),
                            rate(f"{CALLS}_count", "", "service_name, url_template"),
                        ),
                        "{{service_name}}: {{url_template}}",
                    )
                ],
                [TRACES, to("logs", level="error")],
                t.RATIO,
                steps=t.ERRORS,
            ),
            Panel(
                "p95 of calls",
                "How long callers wait for each answer; much more than the called service's own time is lost on the way.",
                [promql(quantile(CALLS, "", "service_name, url_template"), "{{service_name}}: {{url_template}}")],
                [TRACES, to("service", "Who is called", service_name="catalog")],
                t.SECONDS,
            ),
            Panel(
                "Answers without a service",
                "Answers that the gateway gave although a service was away, by the service that was missing.",
                [promql(rate("gateway_degraded_answers_total", "", "service"), "{{service}}")],
                [to("overview"), LINES],
                t.RATE,
                colours=t.SERVICES,
                steps=t.ANY_LOSS,
                each=[to("service", "The missing service", service_name="${__field.labels.service}")],
            ),
            Panel(
                "Known credentials",
                "The share of requests whose credential the gateway had just exchanged: the others cost a call to accounts.",
                [
                    promql(
                        share(rate("gateway_credential_lookups_total", 'outcome="hit"'), rate("gateway_credential_lookups_total", "")),
                        "known",
                    )
                ],
                [to("service", "Accounts", service_name="accounts")],
                t.RATIO,
                top=1,
            ),
            Panel(
                "Exchanges of credentials",
                "Credentials that were to be exchanged for an assertion, by how that ended.",
                [promql(rate("accounts_exchanges_total", "", "result"), "{{result}}")],
                [to("service", "Accounts", service_name="accounts"), in_loki('{service_name="accounts"}')],
                t.RATE,
                colours=t.ENDS,
                stacked=True,
            ),
        ],
        "What people do": [
            Panel(
                "Sign-ins",
                "Passwords that were to be checked, by how that ended: many refused ones are somebody who guesses.",
                [promql(rate("accounts_sign_ins_total", "", "result"), "{{result}}")],
                [to("service", "Accounts", service_name="accounts"), in_loki('{service_name="accounts"}')],
                t.RATE,
                colours=t.ENDS,
                stacked=True,
            ),
            Panel(
                "New people",
                "People who signed up.",
                [promql(rate("accounts_sign_ups_total", ""), "people")],
                [to("service", "Accounts", service_name="accounts")],
                t.RATE,
                width=4,
            ),
            Panel(
                "Credentials that end soon",
                "Named tokens of programs that end within 7 days: who uses them has to be told.",
                [promql("max(accounts_tokens_ending)", "tokens", instant=True)],
                [to("service", "Accounts", service_name="accounts")],
                t.COUNT,
                "number",
                width=4,
                steps=((None, t.GOOD), (1, t.WARNING)),
                runbooks=("credential-ending",),
            ),
            Panel(
                "Time of a password",
                "How long 95 of 100 passwords wait for their hash, and how long the hash takes: waiting means that all hashers are busy.",
                [
                    promql(quantile("accounts_hash_wait_seconds", ""), "wait"),
                    promql(quantile("accounts_hash_duration_seconds", ""), "hash"),
                ],
                [to("service", "Accounts", service_name="accounts"), in_jaeger("accounts")],
                t.SECONDS,
            ),
            Panel(
                "Songs kept and dropped",
                "Musics that people began to keep, by where they came from, and those they keep no more.",
                [
                    promql(rate("wallet_favourites_added_total", "", "source"), "kept by {{source}}"),
                    promql(rate("wallet_favourites_removed_total", ""), "dropped"),
                ],
                [to("service", "Wallet", service_name="wallet"), in_jaeger("wallet")],
                t.RATE,
            ),
            Panel(
                "Songs added and removed",
                "Songs of the catalog that were added, by where they came from, and removed by their owner.",
                [
                    promql(rate("catalog_musics_created_total", "", "source"), "added by {{source}}"),
                    promql(rate("catalog_musics_deleted_total", ""), "removed"),
                ],
                [to("service", "Catalog", service_name="catalog"), in_jaeger("catalog")],
                t.RATE,
            ),
            Panel(
                "Rows imported",
                "Rows of imported files, of songs into the catalog and of libraries into wallets, by what became of them.",
                [
                    promql(rate("catalog_import_rows_total", "", "outcome"), "catalog, {{outcome}}"),
                    promql(rate("wallet_import_rows_total", "", "outcome"), "wallet, {{outcome}}"),
                ],
                [to("service", "Catalog", service_name="catalog"), in_jaeger("catalog", operation="import batch")],
                t.RATE,
            ),
        ],
        "Prober": [
            Panel(
                "Runs of the prober",
                "How often the prober's journey through the public address ends well, or not.",
                [promql(rate("prober_runs_total", "", "result"), "{{result}}")],
                [to("overview"), TRACES],
                t.RATE,
                colours=t.ENDS,
                stacked=True,
                runbooks=("prober-failing",),
            ),
            Panel(
                "Failed steps of the prober",
                "At which step the prober's journey fails.",
                [promql(rate("prober_step_failures_total", "", "step"), "{{step}}")],
                [in_loki('{service_name="gateway"} | detected_level=~"warn|error"', "The gateway's warnings and errors in Loki"), TRACES],
                t.RATE,
                steps=t.ANY_LOSS,
                runbooks=("prober-failing",),
            ),
            Panel(
                "Steps of the prober",
                "How long the steps of the prober's journey take, 95 of 100 of them: what people would feel.",
                [promql(quantile("prober_step_duration_seconds", "", "step"), "{{step}}")],
                [to("overview"), TRACES],
                t.SECONDS,
            ),
        ],
        "Traces": [
            Panel(
                "Latest requests",
                "The newest traces of the gateway: each opens whole.",
                [traces("gateway")],
                [TRACES],
                kind="table",
                width=12,
                height=10,
            ),
            Panel(
                "Latest requests that we failed",
                "The newest traces of the gateway that were answered with 503: a service or its database could not be had.",
                [traces("gateway", tags="http.response.status_code=503")],
                [in_jaeger("gateway", tags="http.response.status_code=503"), to("logs", level="error")],
                kind="table",
                width=12,
                height=10,
            ),
        ],
    },
    [t.JOURNEYS],
)
