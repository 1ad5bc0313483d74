"""The stages of the server-metrics panel, each a plain function from settings to files in the store, and its audits."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from capsim_dagster.audits.report import Reports, by_claim
from capsim_dagster.errors import MasterError, PanelError
from capsim_dagster.panel.contract import FOOTER_KEY, PanelName
from capsim_dagster.panel.find import FoundPanel, find_panel
from capsim_dagster.panel.generate import GeneratedPanel, generate_panel, panel_facts
from capsim_dagster.panel.load import LoadOutcome, load_panel
from capsim_dagster.panel.quality import audit_panel, master_parity
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.remote import own_master
from capsim_dagster.simulated.grid import Advance
from capsim_dagster.simulated.master import MasterFile
from capsim_dagster.simulation.fleet import fleet_of
from capsim_dagster.storage import store_of


def server_metrics(platform: Platform, *, advance: Advance = lambda _rows: None) -> GeneratedPanel:
    """Save the panel of the master's hosts and days.

    Raises:
        MasterError: If the master is missing, torn or made with other settings.
        GateError: If a gate does not hold; the old panel stays.
        StorageError: If the store cannot be reached or written.
    """
    return generate_panel(
        platform.generation,
        platform.settings.panel,
        store_of(platform.settings),
        prefix=platform.settings.storage.raw_prefix,
        end=own_master(platform).footer.end,
        advance=advance,
    )


def server_metrics_checks(platform: Platform) -> Reports:
    """Audit the panel of the master's hosts and days as it lies in its store.

    Raises:
        MasterError: If the master is missing, torn or made with other settings.
        PanelError: If the panel cannot be read.
        StorageError: If there is none, or the store cannot be reached.
    """
    generation, panel, master = platform.generation, platform.settings.panel, own_master(platform)
    with _own_panel(platform, master) as path:
        reports = audit_panel(path, generation, panel, fleet_of(generation), end=master.footer.end)
        return reports | _parity(platform, master, path)


def parity_with_master(platform: Platform) -> Reports:
    """Return whether the panel of the window has the content of the master; nothing, if that has other days, or none.

    Raises:
        PanelError: If the panel cannot be read.
        StorageError: If there is none, or the store cannot be reached.
    """
    try:
        master = own_master(platform)
    except MasterError:
        return {}
    if master.footer.end != platform.generation.end_date:
        return {}
    with _own_panel(platform, master) as path:
        return _parity(platform, master, path)


def _parity(platform: Platform, master: MasterFile, path: Path) -> Reports:
    generation, panel, end = platform.generation, platform.settings.panel, master.footer.end
    return by_claim(master_parity(path, master.path, generation, panel, fleet_of(generation), end=end))


def validated_server_metrics(platform: Platform, *, advance: Advance = lambda _rows: None) -> LoadOutcome:
    """Validate the panel of the master's hosts and days and stage it if it passes; the report is always written.

    Raises:
        MasterError: If the master is missing, torn or made with other settings.
        PanelError: If there is no panel, or it is one of capsim's that was made with other settings.
        StorageError: If the store cannot be reached, read or written.
        GateError: If a row was lost or invented on the way.
    """
    store, name = store_of(platform.settings), _own_name(platform, own_master(platform))
    _require_these_settings(platform, find_panel(platform.settings, store, name))
    return load_panel(platform.settings, store, source=name, advance=lambda rows, _of: advance(rows))


def panel_rows(platform: Platform) -> int:
    """Return how many rows the panel of the master's hosts and days has."""
    footer = own_master(platform).footer
    return footer.hosts * ((footer.end - footer.start).days + 1)


def _require_these_settings(platform: Platform, found: FoundPanel) -> None:
    """Refuse a panel of another fleet: judged by its own footer it would pass, and be taken for that of this fleet."""
    with found.store.reading(found.key) as path:
        says = _footer(path)
    expected = panel_facts(platform.generation, platform.settings.panel, end=platform.generation.end_date)
    if says and says.get("panel_hash") != expected["panel_hash"]:
        fleet = f"{says.get('servers')} servers from {says.get('start')} on, seed {says.get('seed')}"
        raise PanelError(
            f"the panel {found.url} was made with other settings than these: {fleet}",
            remedy="materialize server_metrics again",
        )


def _footer(path: Path) -> dict[str, Any]:
    """Return what the footer of capsim's own panel says; nothing, if it is none, or torn, which its report tells."""
    try:
        metadata = pq.read_metadata(path).metadata or {}
        says = json.loads(metadata.get(FOOTER_KEY.encode(), b"{}"))
    except (pa.ArrowException, ValueError, OSError):
        return {}
    return says if isinstance(says, dict) else {}


@contextmanager
def _own_panel(platform: Platform, master: MasterFile) -> Iterator[Path]:
    """Yield the panel of the master's window as a local file."""
    key = f"{platform.settings.storage.raw_prefix}/{_own_name(platform, master)}"
    with store_of(platform.settings).reading(key) as path:
        yield path


def _own_name(platform: Platform, master: MasterFile) -> str:
    """Return the name of the panel of the master's window."""
    return str(PanelName(False, platform.generation.start_date, master.footer.end))
