"""The shipped settings with some of them replaced; their file is read once a worker."""

from copy import deepcopy
from typing import Any

from capsim_dagster.settings import Settings
from capsim_dagster.settings.load import Overrides, build_settings
from capsim_dagster_tests.conftest import CONFIG, read_once


def shipped_settings(overrides: Overrides | None = None) -> Settings:
    """Return what `load_settings` says of the shipped file, environment included.

    Raises:
        SettingsError: If any setting is unknown, contradictory or out of range.
    """
    return build_settings(read_once(CONFIG), overrides)


def shipped_sections() -> dict[str, Any]:
    """Return the sections of the shipped file, which a test may change."""
    return deepcopy(read_once(CONFIG)[CONFIG])
