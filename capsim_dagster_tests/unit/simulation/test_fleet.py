"""The inventory: one of each variety, steady shares, and a growing fleet that changes nobody."""

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as property_settings
from hypothesis import strategies as st

from capsim_dagster.schemas import VARIETIES
from capsim_dagster.schemas.fleet import BUSINESS_HIERARCHY, HOSTS
from capsim_dagster.schemas.frames import broken_rules, frame_schema
from capsim_dagster.simulation.fleet import business_hierarchy, host_inventory, variety_indices, variety_shares
from capsim_dagster_tests.conftest import MakeSettings
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.every_setting import base_generation, changed

DEFAULT_SHARES = [0.28, 0.07, 0.20, 0.05, 0.16, 0.04, 0.12, 0.03, 0.04, 0.01]
"""Scenario share times 80 % or 20 %, by hand from the table in the design."""
SIGMAS = 5
"""Bound of a statistical test [standard errors]; the seed is fixed, another one would fail with a chance of 6e-7."""


def test_variety_shares_are_scenario_share_times_variant_share() -> None:
    shares = variety_shares(base_generation())

    assert tuple(shares) == VARIETIES
    assert list(shares.values()) == pytest.approx(DEFAULT_SHARES)


def test_hosts_1_to_10_hold_one_of_each_variety() -> None:
    hosts = host_inventory(base_generation()).head(10)

    expected = [(variety.scenario.value, variety.variant.value) for variety in VARIETIES]
    assert list(hosts.select("scenario", "variant").iter_rows()) == expected


def test_hosts_1_to_10_hold_one_of_each_variety_even_of_scenarios_without_a_share() -> None:
    shares = [1.0] + [0.0] * 9

    assert variety_indices(np.arange(1, 14), shares).tolist() == [*range(10), 0, 0, 0]


@each_case("fleet_size", [10, 11, 100, 500, 999, 2_000, 2_500, 5_000])
def test_every_fleet_holds_all_varieties_and_keeps_their_shares_within_five_hosts(fleet_size: int) -> None:
    counts = np.bincount(variety_indices(np.arange(1, fleet_size + 1), DEFAULT_SHARES), minlength=10)

    assert counts.min() >= 1
    assert np.abs(counts - fleet_size * np.array(DEFAULT_SHARES)).max() <= 5


@property_settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(weights=st.lists(st.floats(0.01, 1), min_size=10, max_size=10), fleet_size=st.integers(10, 5_000))
def test_any_shares_hold_at_any_fleet_size(weights: list[float], fleet_size: int) -> None:
    """The first ten hosts, one of each, move a count by nine at most; the sequence by its discrepancy."""
    shares = np.array(weights) / sum(weights)
    counts = np.bincount(variety_indices(np.arange(1, fleet_size + 1), shares.tolist()), minlength=10)

    assert counts.min() >= 1
    assert np.abs(counts - fleet_size * shares).max() <= 9 + 2 + np.log(fleet_size)


def test_growing_the_fleet_changes_no_existing_host(make_settings: MakeSettings) -> None:
    before, after = (make_settings(num_servers=n).data_generation for n in (2_000, 2_500))

    assert host_inventory(after).head(2_000).equals(host_inventory(before))
    assert business_hierarchy(after).head(2_000).equals(business_hierarchy(before))


def test_later_hosts_can_be_made_alone() -> None:
    generation = base_generation()

    assert host_inventory(generation, first=101).equals(host_inventory(generation).slice(100))
    assert business_hierarchy(generation, first=101).equals(business_hierarchy(generation).slice(100))


def test_inventory_and_hierarchy_fulfil_their_contracts() -> None:
    hosts, hierarchy = host_inventory(base_generation()), business_hierarchy(base_generation())

    assert broken_rules(HOSTS, hosts) == broken_rules(BUSINESS_HIERARCHY, hierarchy) == []
    assert hosts.columns == [column.name for column in HOSTS]
    assert hierarchy.schema == frame_schema(BUSINESS_HIERARCHY)
    assert hosts["host_id"].to_list() == [f"srv-{number:06d}" for number in range(1, 151)]


def test_hierarchy_agrees_with_the_inventory_and_the_settings() -> None:
    generation = base_generation()
    rows = host_inventory(generation).join(business_hierarchy(generation), on=["host_id", "department"])
    departments = {department.name: department for department in generation.metadata.departments}

    assert rows.height == generation.num_servers
    for row in rows.iter_rows(named=True):
        department = departments[row["department"]]
        code, team, app = row["app_code"].split("-")
        assert (code, row["business_unit"]) == (department.code, department.business_unit)
        assert row["sub_department"] == department.teams[int(team) - 1]
        assert row["app_name"] == f"{row['sub_department']} {app}"
        assert 1 <= int(app) <= generation.metadata.apps_per_team


def test_attributes_follow_their_weights(make_settings: MakeSettings) -> None:
    generation = make_settings(num_servers=20_000).data_generation
    hosts = host_inventory(generation)
    metadata = generation.metadata
    lists = {
        "department": metadata.departments,
        "region": metadata.regions,
        "criticality": metadata.criticality_levels,
        "server_type": metadata.server_types,
    }
    for column, choices in lists.items():
        counts = Counter(hosts[column])
        total = sum(choice.weight for choice in choices)
        for choice in choices:
            share = choice.weight / total
            assert abs(counts[choice.name] / 20_000 - share) < SIGMAS * (share * (1 - share) / 20_000) ** 0.5, choice


def test_virtual_machines_follow_their_share(make_settings: MakeSettings) -> None:
    hosts = host_inventory(make_settings(num_servers=20_000).data_generation)
    found = hosts["classification"].eq("virtual").mean()

    assert isinstance(found, float)
    assert abs(found - 0.8) < SIGMAS * (0.8 * 0.2 / 20_000) ** 0.5


@pytest.mark.parametrize(("share", "expected"), [(0.0, ["physical"]), (1.0, ["virtual"])])
def test_virtual_share_of_0_or_1_leaves_one_kind(share: float, expected: list[str]) -> None:
    hosts = host_inventory(changed(base_generation(), {"metadata.virtual_share": share}))

    assert hosts["classification"].unique().to_list() == expected


def test_weights_are_relative() -> None:
    generation = base_generation()
    doubled = {f"metadata.regions.{i}.weight": 2 * r.weight for i, r in enumerate(generation.metadata.regions)}

    assert host_inventory(changed(generation, doubled)).equals(host_inventory(generation))


def test_attributes_are_drawn_apart_from_each_other(make_settings: MakeSettings) -> None:
    """Region says nothing about criticality: each pair is as common as the product of its shares."""
    hosts = host_inventory(make_settings(num_servers=20_000).data_generation)
    found = hosts.filter(pl.col("region") == "us-east", pl.col("criticality") == "low").height / hosts.height

    assert abs(found - 0.4 * 0.2) < SIGMAS * (0.08 * 0.92 / 20_000) ** 0.5


def test_sizes_follow_the_server_type() -> None:
    hosts = host_inventory(base_generation())
    databases = hosts.filter(pl.col("server_type") == "database")

    assert set(databases["cpu_cores"]) == {16, 32, 64}
    assert set(databases["storage_mb"]) == {1_024_000, 2_048_000, 4_096_000}
    assert set(hosts.filter(pl.col("server_type") == "web")["memory_gb"]) == {16, 32, 64}
