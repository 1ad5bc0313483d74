"""What is simulated: hosts, calendar, telemetry and the truth behind it."""

import dataframely as dy

from capsim_dagster.schemas.terms import HOST_ID_PATTERN, EventKind, Resource, Scenario, Variant


class Hosts(dy.Schema):
    """One row a host: identity, organization, capacity and behaviour."""

    host_id = dy.String(primary_key=True, regex=HOST_ID_PATTERN, description="Stable host key, e.g. srv-000001.")
    department = dy.String(min_length=1, description="Owning department.")
    business_unit = dy.String(min_length=1, description="Business unit of the department.")
    region = dy.String(min_length=1, description="Data-centre region; decides the bank calendar.")
    criticality = dy.String(min_length=1, description="Service criticality.")
    classification = dy.Enum(["physical", "virtual"], description="Physical or virtual machine.")
    server_type = dy.String(min_length=1, description="Workload profile: web, application, database, batch or file.")
    cpu_cores = dy.Int32(min=1, description="CPU capacity.", metadata={"unit": "cores"})
    memory_gb = dy.Int32(min=1, description="Memory capacity.", metadata={"unit": "GB"})
    storage_mb = dy.Int64(min=1, description="Disk capacity.", metadata={"unit": "MB"})
    network_mbps = dy.Int32(min=1, description="Network capacity.", metadata={"unit": "Mbps"})
    scenario = dy.Enum([s.value for s in Scenario], description="Behavioural scenario.")
    variant = dy.Enum([v.value for v in Variant], description="Common or rare variant of the scenario.")


class BusinessHierarchy(dy.Schema):
    """One row a host: where it stands in the organization."""

    host_id = dy.String(primary_key=True, regex=HOST_ID_PATTERN, description="Key into hosts.")
    department = dy.String(min_length=1, description="Owning department.")
    sub_department = dy.String(min_length=1, description="Team within the department.")
    app_code = dy.String(min_length=1, description="Application code, e.g. PAY-CLR-007.")
    app_name = dy.String(min_length=1, description="Application name.")


class TimePeriods(dy.Schema):
    """One row a calendar day, contiguous."""

    date = dy.Date(primary_key=True, description="The day.")
    yearmonth = dy.Int32(min=100_001, max=999_912, description="Month as YYYYMM.")
    year = dy.Int16(description="Calendar year.")
    month = dy.Int8(min=1, max=12, description="Calendar month.")
    day_of_week = dy.Int8(min=1, max=7, description="ISO weekday: Monday 1 to Sunday 7.")
    quarter = dy.Int8(min=1, max=4, description="Calendar quarter.")
    is_weekend = dy.Bool(description="Saturday or Sunday.")
    is_month_end = dy.Bool(description="Last day of a month.")
    is_quarter_end_month = dy.Bool(description="Day of March, June, September or December.")


class RegionCalendar(dy.Schema):
    """One row a region and day: what the day is in that region's bank calendar."""

    region = dy.String(primary_key=True, description="Region, as in hosts.")
    date = dy.Date(primary_key=True, description="The day.")
    is_business_day = dy.Bool(description="Neither weekend nor bank holiday.")
    is_bank_holiday = dy.Bool(description="Banks are closed; their names are in bank_holidays.")
    is_holiday_shoulder = dy.Bool(description="No holiday, but close to one on a working day.")
    is_quarter_end_window = dy.Bool(description="One of the last business days of March, June, September, December.")
    is_month_end_window = dy.Bool(description="One of the last business days of a month.")


class BankHolidays(dy.Schema):
    """One row a bank holiday and region, within the calendar."""

    region = dy.String(primary_key=True, description="Region whose banks are closed.")
    date = dy.Date(primary_key=True, description="The day.")
    name = dy.String(min_length=1, description="Name of the holiday.")


class MasterTelemetry(dy.Schema):
    """Every host x resource x day: daily P95 utilization."""

    date = dy.Date(primary_key=True, description="The day.")
    host_id = dy.String(primary_key=True, description="Key into hosts.")
    resource = dy.Enum([r.value for r in Resource], primary_key=True, description="cpu, memory, disk or network.")
    p95_util = dy.Float32(
        nullable=True,
        min=0,
        max=100,
        description="Daily P95 utilization, two decimals; null = the agent reported nothing.",
        metadata={"unit": "% of capacity"},
    )
    capacity = dy.Float64(
        min=0, description="Capacity of the resource.", metadata={"unit": "cores | GB | MB | Mbps by resource"}
    )


class ExpectedUtilization(dy.Schema):
    """What each series would be without noise, events and bounds: the truth to score a forecast against."""

    date = dy.Date(primary_key=True, description="The day.")
    host_id = dy.String(primary_key=True, description="Key into hosts.")
    resource = dy.Enum([r.value for r in Resource], primary_key=True, description="cpu, memory, disk or network.")
    expected_util = dy.Float32(
        description="Noise-free expectation before clipping, two decimals; goes on above 100.",
        metadata={"unit": "% of capacity"},
    )


class TruthEvents(dy.Schema):
    """One row an event that shows in the data: what happened to a series, and when."""

    host_id = dy.String(primary_key=True, description="Key into hosts.")
    resource = dy.Enum([r.value for r in Resource], primary_key=True, description="cpu, memory, disk or network.")
    kind = dy.Enum([k.value for k in EventKind], primary_key=True, description="What happened.")
    start = dy.Date(primary_key=True, description="First day on which it shows.")
    end = dy.Date(description="Last day on which it shows, inclusive; may lie after the window.")
    magnitude = dy.Float32(
        nullable=True,
        description="burst: height; spike, dip, level_shift: change as a share of expected demand; variance_change: "
        "factor of the noise; gaps: null.",
        metadata={"unit": "% points | share | factor by kind"},
    )


class TruthSeries(dy.Schema):
    """One row a series: the parameters it was drawn with."""

    host_id = dy.String(primary_key=True, description="Key into hosts.")
    resource = dy.Enum([r.value for r in Resource], primary_key=True, description="cpu, memory, disk or network.")
    level = dy.Float32(description="Utilization on the first day, on an ordinary working day.", metadata={"unit": "%"})
    growth_per_year = dy.Float32(description="Linear growth.", metadata={"unit": "% points a year"})
    annual_amplitude = dy.Float32(description="Half the swing of the annual season.", metadata={"unit": "% points"})
    annual_peak_day = dy.Int16(min=1, max=366, description="Day of the year on which the season peaks.")
    weekend_factor = dy.Float32(description="Weekend load as a multiple of working days' load.")
    noise_std = dy.Float32(description="Standard deviation of the daily noise.", metadata={"unit": "% points"})
    burst_rate = dy.Float32(description="Bursts of the host a day.")
    burst_height = dy.Float32(description="Typical height of a burst.", metadata={"unit": "% points"})
    has_anomalies = dy.Bool(description="False for the limiting resource of a breach, which has gaps only.")
    breach_rise = dy.Float32(
        description="Growth until the breach date, beyond the linear.", metadata={"unit": "% points"}
    )
    breach_date = dy.Date(nullable=True, description="Limiting series only: expected to reach the threshold.")
    limiting_resource = dy.String(nullable=True, description="Which resource of the host breaches; null = none.")
