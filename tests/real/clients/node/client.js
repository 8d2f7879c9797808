// OpenTelemetry's SDK for Node as a sender: `client.js grpc|protobuf|json`, the rest by OpenTelemetry's own variables.
//
// Writes what it counted as JSON: the ids of its traces, its spans, its lines with the traces in which they were written, the sum of its counter.
const { ROOT_CONTEXT, SpanKind, trace } = require('@opentelemetry/api');
const { defaultResource, resourceFromAttributes } = require('@opentelemetry/resources');
const { BatchLogRecordProcessor, LoggerProvider } = require('@opentelemetry/sdk-logs');
const { MeterProvider, PeriodicExportingMetricReader } = require('@opentelemetry/sdk-metrics');
const { BatchSpanProcessor, TracerProvider } = require('@opentelemetry/sdk-trace');

const TRACES = 40;

const suffix = { grpc: 'grpc', protobuf: 'proto', json: 'http' }[process.argv[2]];
const exporter = (signal, name) => new (require(`@opentelemetry/exporter-${signal}-otlp-${suffix}`)[name])();

const resource = defaultResource().merge(
  resourceFromAttributes({ 'service.name': process.env.OTEL_SERVICE_NAME }),
);
const spans = new TracerProvider({
  resource,
  spanProcessors: [new BatchSpanProcessor({ exporter: exporter('trace', 'OTLPTraceExporter') })],
});
const lines = new LoggerProvider({
  resource,
  processors: [new BatchLogRecordProcessor({ exporter: exporter('logs', 'OTLPLogExporter') })],
});
const numbers = new MeterProvider({
  resource,
  readers: [new PeriodicExportingMetricReader({ exporter: exporter('metrics', 'OTLPMetricExporter') })],
});

const tracer = spans.getTracer('strangers');
const logger = lines.getLogger('strangers');
const sold = numbers.getMeter('strangers').createCounter('stranger.sold');
const took = numbers.getMeter('strangers').createHistogram('stranger.took', { unit: 's' });

const counted = { traces: [], spans: 0, lines: {}, sold: 0 };
for (let n = 0; n < TRACES; n++) {
  const span = tracer.startSpan(
    'sell',
    { kind: SpanKind.SERVER, attributes: { n, half: n + 0.5, é: ['ü', '→'] } },
    ROOT_CONTEXT,
  );
  const context = trace.setSpan(ROOT_CONTEXT, span);
  const id = span.spanContext().traceId;
  counted.traces.push(id);
  for (let child = 0; child < 2; child++) {
    tracer.startSpan('pay', {}, context).end();
    counted.spans++;
  }
  logger.emit({ severityNumber: 13, severityText: 'WARN', body: `sold ${n}`, attributes: { n }, context });
  counted.lines[`sold ${n}`] = id;
  span.end();
  counted.spans++;
  sold.add(n, { place: 'till' });
  took.record(n / 10);
  counted.sold += n;
}
logger.emit({ severityNumber: 9, body: 'closed', context: ROOT_CONTEXT });
counted.lines.closed = '';

Promise.all([spans, lines, numbers].map((it) => it.shutdown())).then(() => console.log(JSON.stringify(counted)));
