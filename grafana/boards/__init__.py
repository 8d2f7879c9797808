"""The dashboards, in the order in which they are read."""

from . import overview

ALL = [overview.BOARD]
