"""All settings: frozen models read from `config/config.yaml`, the environment and the command line.

Unknown keys, values out of range and contradictions are errors that name the key, what was found and what is allowed;
nothing is written before they are settled. No global instance: settings are passed as arguments.
"""

from capsim_dagster.settings.feed import (
    DEFAULT_DIRT,
    INJECTED_FILE_FAULTS,
    INJECTED_LINE_FAULTS,
    INJECTED_TRAITS,
    Defects,
    FeedColumns,
    LegacyFeed,
    Refinery,
)
from capsim_dagster.settings.fleet import (
    Correlation,
    Department,
    LoadShift,
    Metadata,
    Region,
    ServerType,
)
from capsim_dagster.settings.load import CONFIG_ENV, find_config, load_settings, shipped
from capsim_dagster.settings.model import (
    ENV_PREFIX,
    Automation,
    DataGeneration,
    Settings,
    Storage,
    settings_hash,
)
from capsim_dagster.settings.panel import IDENTITY, Flag, Panel, PanelMetric, PanelQuality, PanelValidation
from capsim_dagster.settings.publication import Archive, Live, Publication, Retention, Workload
from capsim_dagster.settings.sections import Weighted
from capsim_dagster.settings.telemetry import (
    ANOMALY_SLOT_DAYS,
    OUTAGE_SLOT_DAYS,
    Anomalies,
    Bursts,
    Calendar,
    Gaps,
    Metric,
    Noise,
)

__all__ = [
    "ANOMALY_SLOT_DAYS",
    "CONFIG_ENV",
    "DEFAULT_DIRT",
    "ENV_PREFIX",
    "IDENTITY",
    "INJECTED_FILE_FAULTS",
    "INJECTED_LINE_FAULTS",
    "INJECTED_TRAITS",
    "OUTAGE_SLOT_DAYS",
    "Anomalies",
    "Archive",
    "Automation",
    "Bursts",
    "Calendar",
    "Correlation",
    "DataGeneration",
    "Defects",
    "Department",
    "FeedColumns",
    "Flag",
    "Gaps",
    "LegacyFeed",
    "Live",
    "LoadShift",
    "Metadata",
    "Metric",
    "Noise",
    "Panel",
    "PanelMetric",
    "PanelQuality",
    "PanelValidation",
    "Publication",
    "Refinery",
    "Region",
    "Retention",
    "ServerType",
    "Settings",
    "Storage",
    "Weighted",
    "Workload",
    "find_config",
    "load_settings",
    "settings_hash",
    "shipped",
]
