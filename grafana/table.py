"""The one table of what all dashboards share: objectives, units, colours, thresholds, variables and journeys."""

from dataclasses import dataclass

# --- Objectives: the same numbers as in prometheus/objectives, which a test compares. ---

AVAILABILITY = 0.999
LATENCY_SHARE = 0.99
LATENCY = {"sign_in": 0.5, "read": 0.1, "write": 0.25}  # by journey, in seconds: a bound of the histograms' buckets each
PERIOD_HOURS = 28 * 24
PAGE_BURN = 0.02 * PERIOD_HOURS  # 2 % of the budget in an hour pages somebody: Sloth's quickest window

FAILED, ANSWERED = 'http_response_status_code=~"5.."', 'http_response_status_code!~"5.."'  # what is a bad request, for every objective

# --- Units, by what a number says. Grafana's names. ---

REQUESTS = "reqps"
RATE = "cps"  # anything else that is counted, per second
RATIO = "percentunit"
SECONDS = "s"
BYTES = "bytes"
BYTES_RATE = "Bps"
COUNT = "short"
CORES = "suffix:cores"
TIMES = "suffix:x"
STATE = "none"

# --- Colours, by what a series says. ---

GOOD, WARNING, BAD, NEUTRAL = "green", "orange", "red", "blue"

SERVICES = {
    "gateway": "blue",
    "accounts": "purple",
    "catalog": "green",
    "wallet": "yellow",
    "sidecar": "orange",
    "prober": "light-blue",
}
STATUS = {"/^2/": GOOD, "/^3/": "light-green", "/^4/": "yellow", "/^5/": BAD, "left": "gray"}
ENDS = {"success": GOOD, "failure": BAD, "refused": "yellow", "throttled": WARNING, "busy": WARNING, "error": BAD}
JOURNEY = {"sign_in": "purple", "read": "blue", "write": "green", "import": "yellow"}
LEVELS = {"debug": "gray", "info": GOOD, "warn": WARNING, "error": BAD}

# --- Losses: the counters of docs/reliability.md, by what is lost. What was sampled away, or left the console's store, is no loss. ---

LOSSES = {
    "dropped before export": "telemetry_dropped_items_total",
    "export failed": "telemetry_failed_items_total",
    "line not fed to Loki": "telemetry_loki_withheld_lines_total",
    "line failed at Loki": "telemetry_loki_failed_lines_total",
    "line for stdout": "telemetry_stdout_dropped_lines",
    "refused by the sidecar": "sidecar_refused_requests_total",
    "rejected by the sidecar": "sidecar_rejected_items_total",
    "given up by the agent": 'sidecar_dropped_items_total{reason!="sampled"}',
}
LOST = {name: f"sum(increase({counter}[$__rate_interval]))" for name, counter in LOSSES.items()}
LOST_WITHIN_AN_HOUR = [f"sum(increase({counter}[1h]))" for counter in LOSSES.values()]

# --- Thresholds: from which value on which colour. The first one has no value. ---

Steps = tuple[tuple[float | None, str], ...]

BUDGET_LEFT: Steps = ((None, BAD), (0, WARNING), (0.25, GOOD))
BURN: Steps = ((None, GOOD), (1, WARNING), (PAGE_BURN, BAD))
AVAILABLE: Steps = ((None, BAD), (AVAILABILITY, GOOD))
FAST_ENOUGH: Steps = ((None, BAD), (LATENCY_SHARE, GOOD))
ERRORS: Steps = ((None, GOOD), (round(1 - AVAILABILITY, 6), BAD))
USED: Steps = ((None, GOOD), (0.7, WARNING), (0.9, BAD))
NONE_WANTED: Steps = ((None, GOOD), (1, BAD))
ANY_LOSS: Steps = ((None, GOOD), (0.000001, BAD))
UP: Steps = ((None, BAD), (1, GOOD))
PLAIN: Steps = ((None, NEUTRAL),)


def slower_than(seconds: float) -> Steps:
    """A time is red from its bound on."""
    return ((None, GOOD), (seconds, BAD))


# --- Variables, by name. Each dashboard says which it has. ---


@dataclass(frozen=True)
class Variable:
    name: str
    label: str
    help: str
    source: str = "prometheus"  # where its values come from; "" where they are `values`, "text" where somebody writes it
    query: str = ""
    values: str = ""
    default: str = ""
    many: bool = False  # several at once; all is the default


SERVICE = Variable(
    "service_name",
    "Service",
    "A service that answers requests.",
    query='label_values(http_server_request_duration_seconds_count{service_name!=""}, service_name)',
    default="gateway",
)
JOURNEYS = Variable(
    "journey",
    "Journey",
    "What people do: the label that prometheus/prometheus.yml gives to routes.",
    query='label_values(http_server_request_duration_seconds_count{service_name="gateway"}, journey)',
    many=True,
)
ANY_SERVICE = Variable(
    "service_name",
    "Service",
    "Any of our processes.",
    query='label_values(up{service_name!=""}, service_name)',
    many=True,
)
DATABASE_SERVICE = Variable(
    "service_name",
    "Service",
    "A service with a database.",
    query="label_values(db_client_connection_max, service_name)",
    many=True,
)
LOGGING_SERVICE = Variable(
    "service_name",
    "Service",
    "A service whose lines are in Loki.",
    source="loki",
    query="service_name",
    many=True,
)
LEVEL = Variable(
    "level",
    "Level",
    "How severe a line is, as Loki detects it.",
    source="",
    values="debug,info,warn,error",
    many=True,
)
SEARCH = Variable("search", "Search", "What a line's text contains; nothing: every line.", source="text")
