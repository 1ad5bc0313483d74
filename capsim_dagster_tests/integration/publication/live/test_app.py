"""The paths: what each answers, in which format, and to whom."""

import asyncio
import datetime as dt
import gzip
import json
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus_text

from capsim_dagster.errors import SettingsError
from capsim_dagster.publication.live.app import LiveState, live_app
from capsim_dagster.publication.live.feed import Feed
from capsim_dagster.publication.live.guard import require_token
from capsim_dagster.publication.live.interval import Interval, Simulator
from capsim_dagster.publication.live.timeline import Clock
from capsim_dagster_tests.support.publication.live.fleets import FIRST, HOSTS, archived_hour, at, live_fleet

TOKEN = "sentinel-of-20-chars"  # noqa: S105 it opens nothing
RESOURCES = ("cpu", "memory", "disk", "network")
OPEN_METRICS = {"accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}


def state(*, hot_percent: float = 90.0, intervals: int = 1, number: int = FIRST + 36) -> LiveState:
    fleet = live_fleet()
    feed, simulator = Feed(24), Simulator(fleet)
    for offset in range(intervals):
        feed.publish(simulator.interval(number + offset))
    simulator.close()
    # The clock stands two intervals and a bit after the first one.
    clock = Clock(at(3, 11), 60.0, monotonic=lambda: 0.0)
    return LiveState(feed, clock, fleet.timeline, HOSTS, hot_percent, archived=lambda: 7)


def interval_of(number: int = FIRST + 36) -> Interval:
    with closing(Simulator(live_fleet())) as simulator:
        return simulator.interval(number)


def asked(
    shown: LiveState,
    path: str,
    *,
    host: str = "127.0.0.1",
    token: str | None = None,
    **options: Any,  # noqa: ANN401 any option of a request
) -> httpx.Response:
    """Return the answer to a request."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(live_app(shown, host=host, token=token))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:9477") as client:
            return await client.request(options.pop("method", "GET"), path, **options)

    return asyncio.run(ask())


@pytest.fixture(scope="module")
def shown() -> LiveState:
    return state()


def samples_of(shown: LiveState) -> list[dict[str, Any]]:
    samples: list[dict[str, Any]] = asked(shown, "/latest").json()["samples"]
    return samples


def test_latest_is_the_current_interval_as_the_archive_has_it(shown: LiveState, tmp_path: Path) -> None:
    answer = asked(shown, "/latest")
    archived = gzip.decompress(archived_hour(live_fleet(), tmp_path, 3)).splitlines()[:HOSTS]

    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "seq": FIRST + 36,
        "ts": "2023-02-14T03:00:00Z",
        "samples": [json.loads(line) for line in archived],
    }


@pytest.mark.parametrize("is_open", [True, False], ids=["openmetrics", "text"])
def test_metrics_hold_every_sample_in_the_format_that_is_asked_for(shown: LiveState, is_open: bool) -> None:
    answer = asked(shown, "/metrics", headers=OPEN_METRICS if is_open else {"accept": "text/plain"})
    parse: Callable[[str], Iterable[Metric]] = open_metrics if is_open else prometheus_text
    families = {each.name: each for each in parse(answer.text)}
    utilization = families["capsim_host_utilization_percent"].samples
    found = {(each.labels["host_id"], each.labels["resource"]): each.value for each in utilization}
    traffic = families["capsim_host_network_bytes_per_second"].samples
    inbound = {each.labels["host_id"]: each.value for each in traffic if each.labels["direction"] == "in"}
    lines = samples_of(shown)

    kind = "application/openmetrics-text" if is_open else "text/plain"
    assert answer.headers["content-type"].startswith(kind)
    assert found == {(each["host_id"], r): each[r] for each in lines for r in RESOURCES if each[r] is not None}
    assert inbound == {
        each["host_id"]: each["net_in_mbps"] * 125_000 for each in lines if each["net_in_mbps"] is not None
    }
    assert len(found) >= 4 * (HOSTS - 1)
    labels = ("host_id", "region", "department", "criticality", "server_type")
    places = live_fleet().hosts.select(labels).rows()
    assert {tuple(each.labels[name] for name in labels) for each in utilization} <= set(places)


def test_metrics_say_how_the_server_fares(shown: LiveState) -> None:
    parse: Callable[[str], Iterable[Metric]] = open_metrics
    found = {
        sample.name: sample.value
        for family in parse(asked(shown, "/metrics", headers=OPEN_METRICS).text)
        for sample in family.samples
        if sample.name.startswith("capsim_live")
    }

    assert 0 <= found.pop("capsim_live_silence_seconds") < 600
    assert found == {
        "capsim_live_interval_seconds": 300,
        "capsim_live_sample_timestamp_seconds": dt.datetime(2023, 2, 14, 3, tzinfo=dt.UTC).timestamp(),
        "capsim_live_speed_ratio": 60,
        "capsim_live_lag_intervals": 2,
        "capsim_live_hosts": HOSTS,
        "capsim_live_clients": 0,
        "capsim_live_dropped_clients_total": 0,
        "capsim_live_archived_intervals_total": 7,
    }


def test_metrics_are_those_of_the_interval_that_is_current(tmp_path: Path) -> None:
    shown = state(intervals=2)
    second = asked(shown, "/metrics").text
    fleet, simulator = live_fleet(), Simulator(live_fleet())
    shown.feed.publish(simulator.interval(FIRST + 38))
    simulator.close()
    third = asked(shown, "/metrics").text
    expected = gzip.decompress(archived_hour(fleet, tmp_path, 3)).splitlines()

    for text, place in ((second, 1), (third, 2)):
        line = json.loads(expected[place * HOSTS])
        sample = f'host_id="{line["host_id"]}"'
        assert next(each for each in text.splitlines() if sample in each and 'resource="cpu"' in each).endswith(
            f" {line['cpu']}"
        )
    assert second != third


def gap_of() -> tuple[str, str, int]:
    """Return a host, a resource and an interval in which it reports nothing."""
    fleet = live_fleet()
    simulator = Simulator(fleet)
    for day in range(60):
        frame = simulator.interval(day * 288).frame
        for resource in RESOURCES:
            hosts = frame.filter(pl.col(resource).is_null()).get_column("host_id").to_list()
            if hosts:
                simulator.close()
                return hosts[0], resource, day * 288
    raise AssertionError("the fleet has no gap")


def test_a_gap_has_no_sample_and_is_null_in_lines_and_left_out_of_the_summary() -> None:
    host, resource, number = gap_of()
    shown = state(number=number)
    families = prometheus_text(asked(shown, "/metrics").text)
    labels = [each.labels for family in families if "utilization" in family.name for each in family.samples]
    line = next(each for each in samples_of(shown) if each["host_id"] == host)
    summary = asked(shown, "/summary").json()

    assert line[resource] is None
    assert not [each for each in labels if (each["host_id"], each["resource"]) == (host, resource)]
    region = live_fleet().hosts.filter(pl.col("host_id") == host).item(0, "region")
    cells = next(each for each in summary["regions"] if each["region"] == region)
    assert cells["resources"][resource]["reporting"] < cells["hosts"]


@pytest.mark.parametrize("hot_percent", [30.0, 60.0, 100.0])
def test_the_summary_lists_the_hosts_at_hot_percent_or_more_and_averages_each_region(hot_percent: float) -> None:
    shown = state(hot_percent=hot_percent)
    lines = samples_of(shown)
    region_of = dict(live_fleet().hosts.select("host_id", "region").iter_rows())
    summary = asked(shown, "/summary").json()
    hot = sorted([(-each[r], each["host_id"], r) for each in lines for r in RESOURCES if (each[r] or 0) >= hot_percent])

    assert [(-each["value"], each["host_id"], each["resource"]) for each in summary["hot"]] == hot
    assert (summary["hot_series"], summary["hot_percent"]) == (len(hot), hot_percent)
    assert summary["hot_hosts"] == len({host for _value, host, _resource in hot})
    assert (summary["hosts"], summary["speed"], summary["interval_s"]) == (HOSTS, 60, 300)
    for each in summary["regions"]:
        values = [line["cpu"] for line in lines if region_of[line["host_id"]] == each["region"] and line["cpu"]]
        assert each["resources"]["cpu"]["max"] == max(values)
        assert each["resources"]["cpu"]["mean"] == pytest.approx(sum(values) / len(values), abs=0.006)
    assert sum(each["hosts"] for each in summary["regions"]) == HOSTS


def test_hosts_are_the_current_interval_with_what_is_said_of_each(shown: LiveState) -> None:
    found = asked(shown, "/hosts").json()
    places = live_fleet().hosts.select("host_id", "region", "department", "criticality", "server_type")
    lines = samples_of(shown)

    assert (found["seq"], found["ts"], found["hot_percent"]) == (FIRST + 36, "2023-02-14T03:00:00Z", 90)
    assert {name: found[name] for name in places.columns} == places.to_dict(as_series=False)
    for name in (*RESOURCES, "net_in_mbps", "net_out_mbps"):
        assert found[name] == [line[name] for line in lines]


def test_a_host_is_told_with_every_interval_that_is_held_and_an_unknown_one_is_not() -> None:
    shown = state(intervals=3)
    for place in range(HOSTS):
        host = live_fleet().hosts.row(place, named=True)
        found = asked(shown, f"/hosts/{host['host_id']}").json()
        lines = [json.loads(each.lines.splitlines()[place]) for each in shown.feed.held]

        assert {name: found[name] for name in ("region", "department", "criticality")}.items() <= host.items()
        assert found["ts"] == ["2023-02-14T03:00:00Z", "2023-02-14T03:05:00Z", "2023-02-14T03:10:00Z"]
        for name in (*RESOURCES, "net_in_mbps", "net_out_mbps"):
            assert found[name] == [line[name] for line in lines]
    for unknown in ("srv-999999", "srv-00000", "%22,", "..%2f..", "%ff"):
        assert asked(shown, f"/hosts/{unknown}").status_code == 404


def test_before_the_first_interval_there_is_nothing_to_show_and_health_says_so() -> None:
    empty = state(intervals=0)
    answers = {
        path: asked(empty, path).status_code for path in ("/metrics", "/latest", "/summary", "/hosts", "/healthz")
    }

    assert set(answers.values()) == {503}
    assert asked(empty, "/healthz").json() == {"status": "unwell", "reason": "no interval was emitted yet"}
    assert asked(state(), "/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("clock", "reason"),
    [
        (
            "02:59",
            "the clock says 2023-02-14T02:59:00Z and was set back, the newest is of 2023-02-14T03:00:00Z",
        ),
        ("03:11", "the simulation or the disk of the archive does not come to an end"),
    ],
)
def test_health_is_bad_and_says_why_when_no_interval_comes_whatever_the_clock_says(clock: str, reason: str) -> None:
    shown, passed_s = state(), [0.0]
    shown.clock = Clock(present=lambda: dt.datetime.fromisoformat(f"2023-02-14T{clock}Z"))
    shown.feed = Feed(24, monotonic=lambda: passed_s[0])
    shown.feed.publish(interval_of())

    passed_s[0] = 329.0
    assert asked(shown, "/healthz").json() == {"status": "ok"}
    passed_s[0] = 331.0
    sick = asked(shown, "/healthz")

    said = f"no interval for 331 s, though one is due every 300 s: {reason}"
    assert (sick.status_code, sick.json()) == (503, {"status": "unwell", "reason": said})


@pytest.mark.parametrize("after", ["x", "-1", "1.5", ""])
def test_a_stream_after_what_is_no_number_is_refused(shown: LiveState, after: str) -> None:
    assert asked(shown, f"/stream?after={after}").status_code == 400


def test_asking_only_for_the_head_of_a_stream_ends(shown: LiveState) -> None:
    answer = asked(shown, "/stream", method="HEAD", headers={"accept": "text/event-stream"})

    assert answer.headers["content-type"].startswith("text/event-stream")


def test_the_page_is_told_which_resources_there_are(shown: LiveState) -> None:
    assert f'data-resources="{" ".join(RESOURCES)}"' in asked(shown, "/").text


def test_the_page_needs_nothing_from_elsewhere(shown: LiveState) -> None:
    page = asked(shown, "/")
    parts = [asked(shown, path) for path in ("/live.css", "/live.js", "/hosts.js")]

    assert page.headers["content-type"].startswith("text/html")
    assert [part.headers["content-type"].split(";")[0] for part in parts] == [
        "text/css",
        "text/javascript",
        "text/javascript",
    ]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "//" not in page.text.replace("<!doctype html>", "")
    assert not [part for part in parts if "http" in part.text]


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("localhost:9477", 200),
        ("127.0.0.1", 200),
        ("[::1]:9477", 200),
        ("fleet.example:9477", 403),
        ("127.0.0.1.fleet.example", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
def test_without_a_token_only_names_of_this_machine_are_answered(shown: LiveState, name: str, status: int) -> None:
    assert asked(shown, "/latest", headers={"host": name}).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://127.0.0.1:9477", "sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, 200),
        ({"origin": "http://fleet.example"}, 403),
        ({"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}, 403),
    ],
)
def test_without_a_token_pages_of_others_are_refused(shown: LiveState, headers: dict[str, str], status: int) -> None:
    assert asked(shown, "/latest", headers=headers).status_code == status


@pytest.mark.parametrize(
    "path", ["/metrics", "/latest", "/stream?after=0", "/summary", "/hosts", "/hosts/x", "/nowhere"]
)
@pytest.mark.parametrize(
    "header", [None, "Bearer wrong-sentinel-of-20", f"Basic {TOKEN}", TOKEN, "Bearer ", "Bearer é"]
)
def test_with_a_token_every_path_with_the_fleet_wants_it(shown: LiveState, path: str, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header.encode()}
    answer = asked(shown, path, host="0.0.0.0", token=TOKEN, headers=headers)  # noqa: S104 nothing is bound

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "sentinel" not in answer.text


def test_with_its_token_a_caller_is_answered_and_the_page_and_health_need_none(shown: LiveState) -> None:
    for host in ("0.0.0.0", "127.0.0.1"):  # noqa: S104 nothing is bound
        known = {"authorization": f"bearer {TOKEN}"}
        assert asked(shown, "/latest", host=host, token=TOKEN, headers=known).status_code == 200
        for path in ("/", "/live.css", "/live.js", "/hosts.js", "/healthz"):
            assert asked(shown, path, host=host, token=TOKEN).status_code == 200
        assert asked(shown, f"/latest?token={TOKEN}", host=host, token=TOKEN).status_code == 401
        proxied = asked(shown, "/latest", host=host, token=TOKEN, headers={**known, "host": "fleet.example"})
        assert proxied.status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "fleet.example"])  # noqa: S104 nothing is bound
@pytest.mark.parametrize("token", [None, "", "sentinel-short", "sentinel with blanks", "sentinel-é-123456789"])
def test_beyond_loopback_no_server_starts_without_a_good_token(host: str, token: str | None) -> None:
    with pytest.raises(SettingsError, match="CAPSIM_LIVE_TOKEN") as refused:
        require_token(host, token)

    assert "sentinel" not in str(refused.value)


def test_on_loopback_a_token_may_be_left_out_but_not_too_short() -> None:
    assert require_token("127.0.0.1", None) is None
    assert require_token("::1", TOKEN) == TOKEN
    with pytest.raises(SettingsError):
        require_token("localhost", "short")
