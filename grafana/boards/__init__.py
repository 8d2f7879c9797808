"""The dashboards, in the order in which they are read."""

from . import databases, journey, logs, overview, runtime, service, telemetry

ALL = [overview.BOARD, service.BOARD, journey.BOARD, databases.BOARD, logs.BOARD, telemetry.BOARD, runtime.BOARD]
