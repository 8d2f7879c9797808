"""The processes and the machine beneath them."""

import table as t
from kit import Dashboard, Panel, in_loki, look, promql, rate, share, to

THESE = 'service_name=~"$service_name"'
BY = "{{service_name}}"
BUSY = 'mode!="idle"'
DISKS = 'fstype!~"tmpfs|ramfs|squashfs"'
# Every process has a place here: the prober answers no requests, and the sidecar has no lines in Loki.
ALONE = [to("runtime", "This process alone", service_name="${__field.labels.service_name}")]
LINES = in_loki('{service_name=~"${service_name:regex}"}', "Their lines in Loki")


BOARD = Dashboard(
    "runtime",
    "Processes, their connections and threads, and the machine: what is used up?",
    {
        "Processes": [
            Panel(
                "CPU",
                "Processor time that each process uses, in cores.",
                [promql(rate("process_cpu_seconds_total", THESE, "service_name"), BY)],
                [LINES],
                t.CORES,
                colours=t.SERVICES,
                stacked=True,
                each=ALONE,
            ),
            Panel(
                "Memory",
                "Resident memory of each process: a line that only rises is a leak.",
                [promql(f"sum by (service_name) (process_resident_memory_bytes{{{THESE}}})", BY)],
                [LINES],
                t.BYTES,
                colours=t.SERVICES,
                stacked=True,
                each=ALONE,
            ),
            Panel(
                "Running for",
                "How long each process has run: short ones that stay short restart in a loop.",
                [promql(f"min by (service_name) (time() - process_start_time_seconds{{{THESE}}})", BY, instant=True)],
                [LINES],
                t.SECONDS,
                "number",
            ),
            Panel(
                "File descriptors in use",
                "The share of the file descriptors that each process may have open.",
                [promql(f"max by (service_name) (process_open_fds{{{THESE}}} / process_max_fds{{{THESE}}})", BY)],
                [LINES],
                t.RATIO,
                steps=t.USED,
                colours=t.SERVICES,
                each=ALONE,
            ),
            Panel(
                "Threads",
                "Threads of each process.",
                [promql(f"sum by (service_name) (process_threads{{{THESE}}})", BY)],
                [LINES],
                t.COUNT,
                colours=t.SERVICES,
                each=ALONE,
            ),
            Panel(
                "Restarts",
                "How often each process was started again within the last hour.",
                [promql(f"sum by (service_name) (changes(process_start_time_seconds{{{THESE}}}[1h]))", BY)],
                [LINES],
                t.COUNT,
                colours=t.SERVICES,
                steps=t.NONE_WANTED,
                runbooks=("restart-loop",),
            ),
        ],
        "Tasks and connections": [
            Panel(
                "Tasks",
                "Tasks that are alive in each process: about one for each connection and request.",
                [promql(f"sum by (service_name) (tokio_runtime_alive_tasks{{{THESE}}})", BY)],
                [LINES],
                t.COUNT,
                colours=t.SERVICES,
                each=ALONE,
            ),
            Panel(
                "Tasks that wait for a thread",
                (
                    "Tasks in the runtime's queue, by worker thread: growing means that something blocks the threads, or that the "
                    "processor is used up."
                ),
                [
                    promql(
                        (
                            f"sum by (service_name) (tokio_runtime_global_queue_depth{{{THESE}}}) / sum by (service_name) "
                            f"(tokio_runtime_workers{{{THESE}}})"
                        ),
                        BY,
                    )
                ],
                [LINES],
                t.COUNT,
                colours=t.SERVICES,
                each=ALONE,
            ),
            Panel(
                "Open connections",
                "Connections that are open, by what their socket is for.",
                [promql(f"sum by (service_name, role) (http_server_connections{{{THESE}}})", "{{service_name}} {{role}}")],
                [LINES],
                t.COUNT,
                stacked=True,
                each=ALONE,
            ),
            Panel(
                "Connections refused",
                "Connections that were closed at once because too many were open.",
                [promql(rate("http_server_connections_refused_total", THESE, "service_name, role"), "{{service_name}} {{role}}")],
                [LINES],
                t.RATE,
                steps=t.ANY_LOSS,
                each=ALONE,
            ),
            Panel(
                "Connections cut",
                "Connections that a service ended, by reason: slow and malformed ones are somebody's mistake, or an attack.",
                [promql(rate("http_server_connections_cut_total", THESE, "service_name, reason"), "{{service_name}} {{reason}}")],
                [LINES],
                t.RATE,
                each=ALONE,
            ),
            Panel(
                "Panics",
                "Panics that were caught: each is a mistake in the program.",
                [promql(rate("http_server_panics_total", THESE, "service_name"), BY)],
                [in_loki('{service_name=~"${service_name:regex}"} | detected_level="error"', "Their errors in Loki")],
                t.RATE,
                steps=t.ANY_LOSS,
                colours=t.SERVICES,
            ),
        ],
        "Machine": [
            Panel(
                "Processor",
                "The share of the machine's processors that is in use, by what for.",
                [
                    promql(
                        f"{rate('node_cpu_seconds_total', BUSY, 'mode')} / on () group_left {rate('node_cpu_seconds_total', '')}",
                        "{{mode}}",
                    )
                ],
                [look("node_cpu_seconds_total")],
                t.RATIO,
                stacked=True,
                top=1,
            ),
            Panel(
                "Memory of the machine",
                "Memory that programs could still have, and all there is.",
                [
                    promql("node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes", "used"),
                    promql("node_memory_MemTotal_bytes", "all"),
                ],
                [look("node_memory_MemAvailable_bytes")],
                t.BYTES,
            ),
            Panel(
                "Disks filled",
                "The share of each file system that is taken.",
                [
                    promql(
                        f"max by (mountpoint) (1 - node_filesystem_avail_bytes{{{DISKS}}} / node_filesystem_size_bytes{{{DISKS}}})",
                        "{{mountpoint}}",
                        instant=True,
                    )
                ],
                [look("node_filesystem_avail_bytes")],
                t.RATIO,
                "bars",
                steps=t.USED,
                top=1,
                runbooks=("disk-filling",),
            ),
            Panel(
                "Load",
                "Tasks that run or want to, on average over a minute, and how many processors there are for them.",
                [
                    promql("max(node_load1)", "load"),
                    promql('count(count by (cpu) (node_cpu_seconds_total{mode="idle"}))', "processors"),
                ],
                [look("node_load1")],
                t.COUNT,
                width=12,
            ),
            Panel(
                "Network",
                "Bytes per second that the machine receives and sends, by interface.",
                [
                    promql(rate("node_network_receive_bytes_total", "", "device"), "{{device}} received"),
                    promql(rate("node_network_transmit_bytes_total", "", "device"), "{{device}} sent"),
                ],
                [look("node_network_receive_bytes_total")],
                t.BYTES_RATE,
                width=12,
            ),
        ],
    },
    [t.ANY_SERVICE],
)
