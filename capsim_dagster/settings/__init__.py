"""All settings: frozen models read from `config/config.yaml`, the environment and the command line.

Unknown keys, values out of range and contradictions are errors that name the key, what was found and what is allowed;
nothing is written before they are settled. No global instance: settings are passed as arguments.
"""

from capsim_dagster.settings.load import CONFIG_ENV, find_config, load_settings
from capsim_dagster.settings.model import (
    ENV_PREFIX,
    Automation,
    DataGeneration,
    Department,
    FeedColumns,
    LegacyFeed,
    Metadata,
    Metric,
    Region,
    Settings,
    Weighted,
    settings_hash,
)

__all__ = [
    "CONFIG_ENV",
    "ENV_PREFIX",
    "Automation",
    "DataGeneration",
    "Department",
    "FeedColumns",
    "LegacyFeed",
    "Metadata",
    "Metric",
    "Region",
    "Settings",
    "Weighted",
    "find_config",
    "load_settings",
    "settings_hash",
]
