"""The parts of Grafana's SDK that we use, imported in one place.

The classic dashboard model warns at import that a newer one exists. Grafana's `/api/dashboards/db`, which is how
dashboards are published, takes only the classic one, so the warning is of no use to anybody here.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import dashboard as boards
    from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, table, timeseries
    from grafana_foundation_sdk.builders.common import (
        GraphThresholdsStyleConfig,
        ReduceDataOptions,
        StackingConfig,
        VizLegendOptions,
        VizTooltipOptions,
    )
    from grafana_foundation_sdk.cog import builder as cog
    from grafana_foundation_sdk.cog import plugins
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.variants import Dataquery
    from grafana_foundation_sdk.models import common, dashboard
    from grafana_foundation_sdk.models.common import GraphDrawStyle

__all__ = [
    "Dataquery",
    "GraphDrawStyle",
    "GraphThresholdsStyleConfig",
    "JSONEncoder",
    "ReduceDataOptions",
    "StackingConfig",
    "VizLegendOptions",
    "VizTooltipOptions",
    "boards",
    "cog",
    "common",
    "dashboard",
    "plugins",
    "prometheus",
    "stat",
    "statetimeline",
    "table",
    "timeseries",
]
