"""A fleet in memory, month by month, as the audits that scan telemetry see it."""

from collections.abc import Iterator

import numpy as np

from capsim_dagster.audits.behaviour import Features, FeatureScan
from capsim_dagster.audits.scan import MonthOfTelemetry
from capsim_dagster.schemas import Resource
from capsim_dagster.schemas.months import month_end, months_between
from capsim_dagster.simulation import telemetry
from capsim_dagster.simulation.time_dimension import epoch_days


def months_of(model: telemetry.HostModel) -> Iterator[MonthOfTelemetry]:
    """Yield the months of a fleet, in order."""
    generation = model.generation
    days = epoch_days(generation.start_date, generation.end_date)
    values = telemetry.utilization(model, generation.start_date, generation.end_date)
    stacked = np.stack([values[resource] for resource in Resource])
    for month in months_between(generation.start_date, generation.end_date):
        of_month = epoch_days(month, month_end(month))
        yield MonthOfTelemetry(of_month, stacked[:, :, of_month - days[0]])


def features_of(model: telemetry.HostModel) -> Features:
    scan = FeatureScan(model.generation)
    for month in months_of(model):
        scan.add(month)
    return scan.features()
