"""What is simulated: hosts, calendar, telemetry and the truth behind it."""

from typing import Final

from capsim_dagster.schemas.column import ANY_TEXT, PERCENT, Column, Type, percentage
from capsim_dagster.schemas.resources import CAPACITIES, CAPACITY_UNITS, Resource, any_of
from capsim_dagster.schemas.terms import HOST_ID_PATTERN, EventKind, Scenario, Variant

_POINTS: Final = "% points"
_DAY: Final = Column("date", Type.DATE, "The day.", is_key=True)
HOST_KEY: Final = Column("host_id", Type.TEXT, "Key into hosts.", is_key=True)
RESOURCE_KEY: Final = Column("resource", Type.TEXT, f"{any_of(list(Resource))}.", is_key=True, values=tuple(Resource))
CAPACITY: Final = Column(
    "capacity",
    Type.DOUBLE,
    "Capacity of the resource.",
    f"{' | '.join(CAPACITY_UNITS.values())} by resource",
    minimum=0,
)
_DEPARTMENT: Final = Column("department", Type.TEXT, "Owning department.", pattern=ANY_TEXT)

HOSTS: Final = (
    Column("host_id", Type.TEXT, "Stable host key, e.g. srv-000001.", is_key=True, pattern=HOST_ID_PATTERN),
    _DEPARTMENT,
    Column("business_unit", Type.TEXT, "Business unit of the department.", pattern=ANY_TEXT),
    Column("region", Type.TEXT, "Data-centre region; decides the bank calendar.", pattern=ANY_TEXT),
    Column("criticality", Type.TEXT, "Service criticality.", pattern=ANY_TEXT),
    Column("classification", Type.TEXT, "Physical or virtual machine.", values=("physical", "virtual")),
    Column("server_type", Type.TEXT, "Workload profile: web, application, database, batch or file.", pattern=ANY_TEXT),
    *CAPACITIES.values(),
    Column("scenario", Type.TEXT, "Behavioural scenario.", values=tuple(Scenario)),
    Column("variant", Type.TEXT, "Common or rare variant of the scenario.", values=tuple(Variant)),
)
"""One row a host: identity, organization, capacity and behaviour."""

BUSINESS_HIERARCHY: Final = (
    Column("host_id", Type.TEXT, "Key into hosts.", is_key=True, pattern=HOST_ID_PATTERN),
    _DEPARTMENT,
    Column("sub_department", Type.TEXT, "Team within the department.", pattern=ANY_TEXT),
    Column("app_code", Type.TEXT, "Application code, e.g. PAY-CLR-007.", pattern=ANY_TEXT),
    Column("app_name", Type.TEXT, "Application name.", pattern=ANY_TEXT),
)
"""One row a host: where it stands in the organization."""

TIME_PERIODS: Final = (
    _DAY,
    Column("yearmonth", Type.INT32, "Month as YYYYMM.", minimum=100_001, maximum=999_912),
    Column("year", Type.INT16, "Calendar year."),
    Column("month", Type.INT8, "Calendar month.", minimum=1, maximum=12),
    Column("day_of_week", Type.INT8, "ISO weekday: Monday 1 to Sunday 7.", minimum=1, maximum=7),
    Column("quarter", Type.INT8, "Calendar quarter.", minimum=1, maximum=4),
    Column("is_weekend", Type.FLAG, "Saturday or Sunday."),
    Column("is_month_end", Type.FLAG, "Last day of a month."),
    Column("is_quarter_end_month", Type.FLAG, "Day of March, June, September or December."),
)
"""One row a calendar day, contiguous."""

REGION_CALENDAR: Final = (
    Column("region", Type.TEXT, "Region, as in hosts.", is_key=True),
    _DAY,
    Column("is_business_day", Type.FLAG, "Neither weekend nor bank holiday."),
    Column("is_bank_holiday", Type.FLAG, "Banks are closed; their names are in bank_holidays."),
    Column("is_holiday_shoulder", Type.FLAG, "No holiday, but close to one on a working day."),
    Column("is_quarter_end_window", Type.FLAG, "One of the last business days of March, June, September, December."),
    Column("is_month_end_window", Type.FLAG, "One of the last business days of a month."),
)
"""One row a region and day: what the day is in that region's bank calendar."""

BANK_HOLIDAYS: Final = (
    Column("region", Type.TEXT, "Region whose banks are closed.", is_key=True),
    _DAY,
    Column("name", Type.TEXT, "Name of the holiday.", pattern=ANY_TEXT),
)
"""One row a bank holiday and region, within the calendar."""

MASTER: Final = (
    _DAY,
    HOST_KEY,
    RESOURCE_KEY,
    percentage("p95_util", "Daily P95 utilization, two decimals; null = the agent reported nothing.", kind=Type.FLOAT),
    CAPACITY,
)
"""Every host x resource x day: daily P95 utilization."""

EXPECTED_UTILIZATION: Final = (
    _DAY,
    HOST_KEY,
    RESOURCE_KEY,
    Column(
        "expected_util", Type.FLOAT, "Noise-free expectation before clipping, two decimals; goes on above 100.", PERCENT
    ),
)
"""What each series would be without noise, events and bounds: the truth to score a forecast against."""

TRUTH_EVENTS: Final = (
    HOST_KEY,
    RESOURCE_KEY,
    Column("kind", Type.TEXT, "What happened.", is_key=True, values=tuple(EventKind)),
    Column("start", Type.DATE, "First day on which it shows.", is_key=True),
    Column("end", Type.DATE, "Last day on which it shows, inclusive; may lie after the window."),
    Column(
        "magnitude",
        Type.FLOAT,
        "burst: height; spike, dip, level_shift: change as a share of expected demand; variance_change: "
        "factor of the noise; gaps: null.",
        "% points | share | factor by kind",
        nullable=True,
    ),
)
"""One row an event that shows in the data: what happened to a series, and when."""

TRUTH_SERIES: Final = (
    HOST_KEY,
    RESOURCE_KEY,
    Column("level", Type.FLOAT, "Utilization on the first day, on an ordinary working day.", "%"),
    Column("growth_per_year", Type.FLOAT, "Linear growth.", "% points a year"),
    Column("annual_amplitude", Type.FLOAT, "Half the swing of the annual season.", _POINTS),
    Column("annual_peak_day", Type.INT16, "Day of the year on which the season peaks.", minimum=1, maximum=366),
    Column("weekend_factor", Type.FLOAT, "Weekend load as a multiple of working days' load."),
    Column("noise_std", Type.FLOAT, "Standard deviation of the daily noise.", _POINTS),
    Column("burst_rate", Type.FLOAT, "Bursts of the host a day."),
    Column("burst_height", Type.FLOAT, "Typical height of a burst.", _POINTS),
    Column("has_anomalies", Type.FLAG, "False for the limiting resource of a breach, which has gaps only."),
    Column("breach_rise", Type.FLOAT, "Growth until the breach date, beyond the linear.", _POINTS),
    Column("breach_date", Type.DATE, "Limiting series only: expected to reach the threshold.", nullable=True),
    Column("limiting_resource", Type.TEXT, "Which resource of the host breaches; null = none.", nullable=True),
)
"""One row a series: the parameters it was drawn with."""
