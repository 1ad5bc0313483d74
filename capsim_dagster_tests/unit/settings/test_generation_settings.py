"""Settings of fleet and telemetry: what contradicts itself or is out of range is an error that names the key."""

from typing import Any

import pytest

from capsim_dagster.errors import SettingsError
from capsim_dagster.schemas import Resource
from capsim_dagster.settings import DataGeneration
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.shipped_settings import shipped_sections, shipped_settings


def first_changed(choices: str, change: dict[str, Any]) -> list[Any]:
    """Return a list of `metadata` as shipped, with its first element changed; a mapping in it is changed in part."""
    metadata = shipped_sections()["data_generation"]["metadata"]
    first, *others = metadata[choices]
    merged = {name: {**first[name], **new} if isinstance(new, dict) else new for name, new in change.items()}
    return [{**first, **merged}, *others]


def refusal(generation: dict[str, object]) -> str:
    """Return the message of the error that some settings are."""
    with pytest.raises(SettingsError) as caught:
        shipped_settings({"data_generation": generation})
    return str(caught.value)


@each_case(
    ("metric", "said"),
    [
        ({"base_mean": 101}, ["base_mean: found 101", "equal to 100"]),
        ({"base_std": 21}, ["base_std: found 21", "equal to 20"]),
        ({"growth_per_year": -21}, ["growth_per_year: found -21", "equal to -20"]),
        ({"growth_std": 11}, ["growth_std: found 11", "equal to 10"]),
        ({"seasonality_amplitude": 0.6}, ["seasonality_amplitude: found 0.6", "equal to 0.5"]),
        ({"weekly_pattern_factor": 2.1}, ["weekly_pattern_factor: found 2.1", "equal to 2"]),
        ({"eoq_spike_multiplier": -1}, ["eoq_spike_multiplier: found -1", "equal to 0"]),
        ({"month_end_multiplier": 3.1}, ["month_end_multiplier: found 3.1", "equal to 3"]),
        ({"holiday_effect_multiplier": -0.1}, ["holiday_effect_multiplier: found -0.1", "equal to 0"]),
        ({"use_holidays": "perhaps"}, ["use_holidays: found 'perhaps'", "valid boolean"]),
        ({"use_eoq_spikes": 2}, ["use_eoq_spikes: found 2", "valid boolean"]),
        ({"eoq_months": [3, 13]}, ["eoq_months holds [13]", "a month is 1 to 12"]),
        ({"eoq_months": [0]}, ["eoq_months holds [0]", "a month is 1 to 12"]),
        ({"eoq_months": [3, 6, 3]}, ["eoq_months: month 3 stands twice", "each month once"]),
        ({"level_factor": 1}, ["level_factor: no such setting", "base_mean"]),
    ],
)
@each_case("resource", [Resource.CPU, Resource.NETWORK])
def test_unusable_metric_is_an_error_that_names_the_key(
    resource: Resource, metric: dict[str, object], said: list[str]
) -> None:
    message = refusal({"metrics": {resource.value: metric}})

    assert [fragment for fragment in said if fragment not in message] == []
    assert f"data_generation.metrics.{resource}" in message


@each_case(
    ("section", "values", "said"),
    [
        ("calendar", {"weekly_pattern": 1}, ["calendar.weekly_pattern: no such setting", "weekly_profile"]),
        ("calendar", {"weekly_profile": [0.1, 0, 0, 0, 0, 1, 1]}, ["weekly_profile [0.1,", "must average 0"]),
        ("calendar", {"weekly_profile": [0, 0, 0, 0, 0, 1, 0.5]}, ["weekly_profile [0.0,", "the weekend 1"]),
        ("calendar", {"weekly_profile": [0, 0, 0, 0, 0, 2]}, ["calendar.weekly_profile.6: not found"]),
        ("calendar", {"eoq_window_days": 0}, ["calendar.eoq_window_days: found 0", "equal to 1"]),
        ("calendar", {"month_end_window_days": 11}, ["calendar.month_end_window_days: found 11", "equal to 10"]),
        ("calendar", {"holiday_shoulder_days": 6}, ["calendar.holiday_shoulder_days: found 6", "equal to 5"]),
        ("calendar", {"holiday_shoulder_share": 1.1}, ["calendar.holiday_shoulder_share: found 1.1", "equal to 1"]),
        ("calendar", {"season_jitter_days": 183}, ["calendar.season_jitter_days: found 183", "equal to 182"]),
        ("noise", {"lag": 1}, ["noise.lag: no such setting", "autocorrelation, app_share"]),
        ("noise", {"autocorrelation": 0.81}, ["noise.autocorrelation: found 0.81", "equal to 0.8"]),
        ("noise", {"app_share": 0.91}, ["noise.app_share: found 0.91", "equal to 0.9"]),
        ("bursts", {"rate": 1}, ["bursts.rate: no such setting", "resource_share"]),
        ("bursts", {"resource_share": 0}, ["bursts.resource_share: found 0", "greater than 0"]),
        ("anomalies", {"drop": {"share": 0}}, ["anomalies.drop: no such setting", "level_shift"]),
        ("anomalies", {"rate": 0.051}, ["anomalies.rate: found 0.051", "equal to 0.05"]),
        ("anomalies", {"spike": {"share": 0.5}}, ["shares of the anomalies add up to 1.3", "must add up to 1"]),
        ("anomalies", {"spike": {"days": [0, 2]}}, ["anomalies.spike: days [0, 2]", "lasts 1 to 64 days"]),
        ("anomalies", {"level_shift": {"days": [10, 65]}}, ["anomalies.level_shift: days [10, 65]", "1 to 64 days"]),
        ("anomalies", {"level_shift": {"days": [40, 10]}}, ["level_shift.days: found [40, 10]", "lower bound comes"]),
        ("anomalies", {"dip": {"size": [0.8, 0.4]}}, ["anomalies.dip.size: found [0.8, 0.4]", "lower bound comes"]),
        ("anomalies", {"dip": {"size": [0.4, 1.1]}}, ["anomalies: size of dip", "at most 1"]),
        ("anomalies", {"level_shift": {"size": [0.4, 1.1]}}, ["anomalies: size of dip and level_shift", "at most 1"]),
        ("anomalies", {"spike": {"size": [0, 1]}}, ["anomalies.spike: size [0.0, 1.0]", "must be above 0"]),
        ("anomalies", {"variance_change": {"size": [1, 3]}}, ["size of variance_change", "above 1"]),
        ("gaps", {"rate": 1}, ["gaps.rate: no such setting", "missing_rate"]),
        ("gaps", {"missing_rate": 0.051}, ["gaps.missing_rate: found 0.051", "equal to 0.05"]),
        ("gaps", {"outage_share": 1.1}, ["gaps.outage_share: found 1.1", "equal to 1"]),
        ("gaps", {"agent_down_share": -1}, ["gaps.agent_down_share: found -1", "equal to 0"]),
        ("gaps", {"outage_days": [1, 5]}, ["gaps: outage_days [1, 5]", "lasts 2 to 32 days"]),
        ("gaps", {"outage_days": [2, 33]}, ["gaps: outage_days [2, 33]", "lasts 2 to 32 days"]),
        ("gaps", {"outage_days": [5, 2]}, ["gaps.outage_days: found [5, 2]", "lower bound comes first"]),
    ],
)
def test_unusable_section_of_the_telemetry_is_an_error_that_names_the_key(
    section: str, values: dict[str, object], said: list[str]
) -> None:
    message = refusal({section: values})

    assert [fragment for fragment in said if fragment not in message] == []
    assert f"data_generation.{section}" in message


@each_case(
    ("choices", "change", "said"),
    [
        ("departments", {"colour": 1}, ["departments.0.colour: no such setting", "season_peak_day"]),
        ("departments", {"season_peak_day": 367}, ["departments.0.season_peak_day: found 367", "equal to 366"]),
        ("departments", {"level_factor": 0}, ["departments.0.level_factor: found 0", "greater than 0"]),
        ("departments", {"code": "PAYMT"}, ["departments.0.code: found 'PAYMT'", "at most 4"]),
        ("departments", {"teams": []}, ["departments.0.teams: found []", "at least 1"]),
        ("regions", {"season_factor": -1}, ["regions.0.season_factor: found -1", "equal to 0"]),
        ("regions", {"bank_calendar": "MOON"}, ["regions.0.bank_calendar: found 'MOON'", "e.g. US, GB, SG, ECB"]),
        ("criticality_levels", {"growth_factor": 3.1}, ["criticality_levels.0.growth_factor: found 3.1", "equal to 3"]),
        ("server_types", {"weekend_response": -2.1}, ["server_types.0.weekend_response: found -2.1", "equal to -2"]),
        (
            "server_types",
            {"correlation": {"gpu_cpu": 1}},
            ["correlation.gpu_cpu: no such setting", "cpu_memory, cpu_disk"],
        ),
        ("server_types", {"correlation": {"cpu_disk": 1}}, ["correlation.cpu_disk: found 1", "equal to 0.99"]),
        ("server_types", {"correlation": {"cpu_network": -0.9}}, ["server_types.0.correlation: these correlations"]),
    ],
)
def test_unusable_choice_of_the_metadata_is_an_error_that_names_the_key(
    choices: str, change: dict[str, Any], said: list[str]
) -> None:
    message = refusal({"metadata": {choices: first_changed(choices, change)}})

    assert [fragment for fragment in said if fragment not in message] == []
    assert f"data_generation.metadata.{choices}" in message


def test_correlations_that_contradict_each_other_are_refused_and_those_that_just_do_not_are_accepted() -> None:
    """Cpu goes with memory and disk by 0.8: these go together by 2 x 0.64 - 1 = 0.28 at least."""
    others = {"cpu_memory": 0.8, "cpu_disk": 0.8, "cpu_network": 0, "memory_network": 0, "disk_network": 0}
    too_low, just = ({"correlation": {**others, "memory_disk": value}} for value in (0.27, 0.29))

    assert "contradict each other" in refusal({"metadata": {"server_types": first_changed("server_types", too_low)}})
    accepted = {"server_types": first_changed("server_types", just)}
    metadata = shipped_settings({"data_generation": {"metadata": accepted}}).data_generation.metadata
    assert metadata.server_types[0].correlation.model_dump()["memory_disk"] == 0.29


def generation_with(anomalies: dict[str, object]) -> DataGeneration:
    return shipped_settings({"data_generation": {"anomalies": anomalies}}).data_generation


def test_rate_too_high_for_anomalies_this_short_is_refused_with_the_highest_that_fits() -> None:
    """By hand: 64 days hold one anomaly of 1.5 days, so at most 1.5 / 64 = 2.34 % of days are anomalous."""
    spikes: dict[str, object] = {
        "spike": {"share": 1},
        **{kind: {"share": 0} for kind in ("dip", "level_shift", "variance_change")},
    }
    message = refusal({"anomalies": {**spikes, "rate": 0.03}})

    assert "data_generation.anomalies: rate 0.03 is too high" in message
    assert "at most one fits in 64 days; use at most 0.0234 or longer ones" in message
    assert generation_with({**spikes, "rate": 0.0234}).anomalies.rate == 0.0234


def test_chances_of_anomalies_are_their_days_over_their_length_by_hand() -> None:
    """Of 64 days 0.5 % are anomalous: 0.32; a fifth in events of 1.5 days, three tenths in events of 25 days."""
    chances = shipped_settings().data_generation.anomalies.chances

    assert chances == pytest.approx(
        {"spike": 0.064 / 1.5, "dip": 0.064 / 1.5, "level_shift": 0.096 / 25, "variance_change": 0.096 / 25}
    )
