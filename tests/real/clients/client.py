"""OpenTelemetry's SDK for Python as a sender: `client.py grpc|protobuf`, the rest by OpenTelemetry's own variables.

Writes what it counted as JSON: the ids of its traces, its spans, its lines with the traces in which they were written, the sum of its counter.
"""

import importlib
import json
import logging
import sys

from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

TRACES = 40

package = {"grpc": "grpc", "protobuf": "http"}[sys.argv[1]]


def exporter(module, name):
    return getattr(importlib.import_module(f"opentelemetry.exporter.otlp.proto.{package}.{module}"), name)()


spans = TracerProvider()
spans.add_span_processor(BatchSpanProcessor(exporter("trace_exporter", "OTLPSpanExporter")))
lines = LoggerProvider()
lines.add_log_record_processor(BatchLogRecordProcessor(exporter("_log_exporter", "OTLPLogExporter")))
reader = PeriodicExportingMetricReader(exporter("metric_exporter", "OTLPMetricExporter"))
numbers = MeterProvider(metric_readers=[reader])

tracer = spans.get_tracer("strangers")
logger = logging.getLogger("strangers")
logger.setLevel(logging.INFO)
logger.addHandler(LoggingHandler(logger_provider=lines))
sold = numbers.get_meter("strangers").create_counter("stranger.sold")
took = numbers.get_meter("strangers").create_histogram("stranger.took", unit="s")

counted = {"traces": [], "spans": 0, "lines": {}, "sold": 0}
for n in range(TRACES):
    with tracer.start_as_current_span("sell", kind=trace.SpanKind.SERVER, attributes={"n": n, "é": ["ü", "→"]}) as span:
        id = trace.format_trace_id(span.get_span_context().trace_id)
        counted["traces"].append(id)
        for _ in range(2):
            with tracer.start_as_current_span("pay"):
                counted["spans"] += 1
        counted["spans"] += 1
        logger.warning("sold %d", n, extra={"n": n})
        counted["lines"][f"sold {n}"] = id
    sold.add(n, {"place": "till"})
    took.record(n / 10)
    counted["sold"] += n
logger.info("closed")
counted["lines"]["closed"] = ""

for provider in (spans, lines, numbers):
    provider.shutdown()
print(json.dumps(counted))
