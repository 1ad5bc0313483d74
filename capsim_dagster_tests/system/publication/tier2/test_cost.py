"""What an hour of 2,000 hosts costs: 24,000 lines."""

import json
import subprocess
import sys
from pathlib import Path

from capsim_dagster_tests.support.publication.days import DAY, write_hour
from capsim_dagster_tests.system.publication.tier3.test_cost import HOSTS, hour_text

HOURS = 24
EXPORT_CPU_S = 0.22
"""Of an hour beyond reading: half as much again as the budget, as processors with shared cores charge for others."""
VERIFY_CPU_S = 0.15
PENDING_CPU_S = 0.5
"""Of 24 hours: their files and what is published are hashed, not unpacked."""
AGREEMENT_CPU_S = 2.0
_CHILD = """
import json, sys, time
from pathlib import Path
from capsim_dagster.publication.dataset.export import Site
from capsim_dagster.publication.tier3.export import export_day
from capsim_dagster.publication.hours import read_hour
from capsim_dagster.publication.lines import parse_lines
from capsim_dagster.publication.tier2.agree import agreement
from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster.publication.tier2.export import export_hour, pending_hours
from capsim_dagster.publication.tier2.verify import hour_folders, verify_hour
from capsim_dagster_tests.support.publication.days import DAY, NOW, TODAY, provenance, settings_of
root, hours = Path(sys.argv[1]), range(int(sys.argv[2]))
site = Site(root / "archive", root / "hourly", settings_of(5), provenance())
def cost(step):
    begin = time.process_time()
    done = step()
    return time.process_time() - begin, done
def read(hour):
    return parse_lines(read_hour(site.archive_root, DAY, hour)[1], hour, site.rule).rows.num_rows
warm = read(0)
reading, lines = cost(lambda: [read(hour) for hour in hours])
exporting, done = cost(lambda: [export_hour(site, DayHour(DAY, hour), now=NOW) for hour in hours])
verifying, found = cost(lambda: [verify_hour(each.folder) for each in done])
pending, none = cost(lambda: pending_hours(site, [DAY], now=NOW))
day = export_day(Site(root / "archive", root / "output", settings_of(5), provenance()), DAY, today=TODAY)
agreeing, claims = cost(lambda: agreement(day.folder, hour_folders(site.folder(DAY))))
print(json.dumps({
    "lines": sum(lines), "rows": sum(each.rows for each in found), "passed": all(each.passed for each in found),
    "none": len(none), "agrees": all(each.passed for each in claims), "exporting": (exporting - reading) / len(hours),
    "verifying": verifying / len(hours), "pending": pending, "agreeing": agreeing,
}))
"""


def test_hours_of_two_thousand_hosts_are_published_verified_and_compared_within_their_budget(tmp_path: Path) -> None:
    for hour in range(HOURS):
        write_hour(tmp_path, hour, hour_text(hour))
    command = [sys.executable, "-c", _CHILD, str(tmp_path), str(HOURS)]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert (said["lines"], said["rows"]) == (HOSTS * 12 * HOURS, HOSTS * 4 * HOURS)
    assert (said["passed"], said["agrees"], said["none"]) == (True, True, 0)
    assert (tmp_path / "hourly" / str(DAY) / "23" / "manifest.json").is_file()
    assert said["exporting"] < EXPORT_CPU_S
    assert said["verifying"] < VERIFY_CPU_S
    assert said["pending"] < PENDING_CPU_S
    assert said["agreeing"] < AGREEMENT_CPU_S
