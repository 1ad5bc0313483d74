"""The composition of a fleet as it is drawn: every part of the inventory, with the hosts that it really has."""

import polars as pl
import pytest

from capsim_dagster.pictures.composition import inventory_pictures, number_and_share
from capsim_dagster.schemas import VARIETIES
from capsim_dagster.simulation import fleet
from capsim_dagster_tests.conftest import MakeSettings
from capsim_dagster_tests.support.pictures.views import crowded, texts


@pytest.fixture
def hosts(make_settings: MakeSettings) -> pl.DataFrame:
    return fleet.host_inventory(make_settings(num_servers=200).data_generation)


def after(said: list[str], name: str) -> list[str]:
    """Return the texts that follow a title, up to the next one."""
    start = said.index(name) + 1
    return said[start : next((n for n, text in enumerate(said[start:], start) if text.startswith("by ")), len(said))]


def test_composition_counts_each_variety_and_each_part_of_the_inventory(hosts: pl.DataFrame) -> None:
    drawn = inventory_pictures(hosts)

    assert list(drawn) == ["fleet_composition"]
    said = texts(drawn["fleet_composition"])
    assert {str(variety) for variety in VARIETIES} | {"200 hosts in the inventory"} <= set(said)
    for columns in (
        ["scenario", "variant"],
        ["department"],
        ["server_type"],
        ["region"],
        ["criticality"],
        ["classification"],
    ):
        for *names, count in hosts.group_by(columns).len().iter_rows():
            assert "/".join(names) in said
            assert number_and_share(count, 200) in said
    assert len(drawn["fleet_composition"]) < 60_000
    assert crowded(drawn["fleet_composition"]) == []


def test_a_variety_that_lost_all_its_hosts_is_still_named(hosts: pl.DataFrame) -> None:
    said = texts(inventory_pictures(hosts.filter(pl.col("scenario") != "BURST"))["fleet_composition"])

    assert {"BURST/MODERATE", "BURST/EXTREME"} <= set(said)
    assert said.count("0 · 0.0 %") == 2


def test_an_inventory_without_hosts_is_drawn_as_such(hosts: pl.DataFrame) -> None:
    said = texts(inventory_pictures(hosts.clear())["fleet_composition"])

    assert "0 hosts in the inventory" in said
    assert said.count("no hosts") == 5
    assert said.count("0 · 0.0 %") == len(VARIETIES)
