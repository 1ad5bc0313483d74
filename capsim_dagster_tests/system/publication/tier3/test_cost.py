"""What publishing and verifying a day of 2,000 hosts costs: 576,000 lines."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from capsim_dagster_tests.support.publication.days import DAY, START, write_hour

HOSTS = 2_000
EXPORT_CPU_S = 6.0
"""Half as much again as the budget: processors with shared cores charge for what others do."""
VERIFY_CPU_S = 2.0
MEMORY_MIB = 500
_CHILD = """
import json, sys, time
from pathlib import Path
from capsim_dagster.cli.measure import peak_rss_mib
from capsim_dagster.publication.dataset.export import Site
from capsim_dagster.publication.tier3.export import export_day
from capsim_dagster.publication.tier3.verify import verify_dataset
from capsim_dagster_tests.support.publication.days import DAY, TODAY, provenance, settings_of
root, begin = Path(sys.argv[1]), time.process_time()
site = Site(root / "archive", root / "output", settings_of(5), provenance())
done = export_day(site, DAY, today=TODAY)
exported = time.process_time()
found = verify_dataset(done.folder, max_null_share=0.1)
verified = time.process_time()
print(json.dumps([exported - begin, verified - exported, peak_rss_mib(), found.passed, found.rows]))
"""


def hour_text(hour: int) -> bytes:
    """Return the lines of an hour: 12 intervals of random values."""
    draw = np.random.default_rng(hour)
    values = draw.uniform(0, 100, (12, HOSTS, 6)).round(2).tolist()
    first_seq = (DAY - START).days * 288 + hour * 12
    lines = [
        f'{{"host_id":"srv-{host + 1:06d}","ts":"{DAY}T{hour:02d}:{slot * 5:02d}:00Z","cpu":{v[0]},"memory":{v[1]},'
        f'"disk":{v[2]},"network":{v[3]},"net_in_mbps":{v[4]},"net_out_mbps":{v[5]},'
        f'"meta":{{"interval_s":300,"agent":"2.4.1","seq":{first_seq + slot}}}}}\n'
        for slot in range(12)
        for host, v in enumerate(values[slot])
    ]
    return "".join(lines).encode()


def test_a_day_of_two_thousand_hosts_is_published_and_verified_within_its_budget(tmp_path: Path) -> None:
    for hour in range(24):
        write_hour(tmp_path, hour, hour_text(hour))
    said = subprocess.run(
        [sys.executable, "-c", _CHILD, str(tmp_path)], check=True, capture_output=True, text=True
    ).stdout
    export_s, verify_s, peak_mib, passed, rows = json.loads(said)

    assert (passed, rows) == (True, HOSTS * 288)
    assert export_s < EXPORT_CPU_S
    assert verify_s < VERIFY_CPU_S
    assert peak_mib < MEMORY_MIB
