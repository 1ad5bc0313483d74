"""Each setting of the simulation changes what is simulated."""

from functools import cache

import polars as pl

from capsim_dagster.schemas import Resource
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.every_setting import CHANGES, base_generation, changed
from capsim_dagster_tests.support.simulation.models import everything

N_TABLES = 5
"""Outputs of `everything` before the telemetry of the four resources."""


@cache
def base_output() -> list[pl.DataFrame]:
    return list(everything(base_generation()))


OF_OTHER_RESOURCES = tuple(f"metrics.{resource}." for resource in Resource if resource is not Resource.CPU)
"""What is here of a metric is the same of each: that the others have it is below."""


@each_case("path", sorted(path for path in CHANGES if not path.startswith(OF_OTHER_RESOURCES)))
def test_every_setting_of_data_generation_changes_the_output(path: str) -> None:
    output = everything(changed(base_generation(), CHANGES[path]))

    assert not all(one.equals(other) for one, other in zip(output, base_output(), strict=True))


@each_case("resource", Resource)
def test_settings_of_a_metric_change_its_resource_alone(resource: Resource) -> None:
    change = {path: CHANGES[path][path] for path in CHANGES if path.startswith(f"metrics.{resource}.")}
    output = list(everything(changed(base_generation(), change)))[: N_TABLES + len(Resource)]

    same = [one.equals(other) for one, other in zip(output, base_output(), strict=False)]
    assert same == [True] * N_TABLES + [other is not resource for other in Resource]
