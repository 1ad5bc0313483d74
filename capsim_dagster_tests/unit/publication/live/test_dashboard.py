"""The dashboard for Grafana asks for metrics and labels that the server has, and for any Prometheus."""

import re
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from capsim_dagster_tests.integration.publication.live.test_app import asked, state
from capsim_dagster_tests.support.publication.live.dashboard import CHOSEN, dashboard, expressions

SCRAPED: Final = {"job", "instance"}
"""Labels that the server that scrapes adds."""


def labels_of_metrics() -> dict[str, set[str]]:
    """Return the labels of each metric that the server gives."""
    families = text_string_to_metric_families(asked(state(), "/metrics").text)
    return {each.name: SCRAPED | set(each.labels) for family in families for each in family.samples} | {"up": SCRAPED}


def test_each_expression_names_metrics_and_labels_that_are_there() -> None:
    known, board = labels_of_metrics(), dashboard()
    queries = [each["definition"] for each in board["templating"]["list"] if each["type"] == "query"]
    used = set()
    for text in (*expressions(board), *queries):
        names = set(re.findall(r"\b(capsim_\w+|up)\b", text))
        labels = {label for inside in re.findall(r"\{([^}]*)\}", text) for label in re.findall(r"(\w+)=", inside)}
        labels |= {label for inside in re.findall(r"\bby \(([^)]*)\)", text) for label in re.findall(r"\w+", inside)}
        labels |= set(re.findall(r", (\w+)\)$", text)) if text.startswith("label_values") else set()
        assert names, text
        assert names <= known.keys(), text
        assert all(labels <= known[name] for name in names), text
        used |= names

    assert used == known.keys()


def test_each_legend_names_a_label_that_its_expression_keeps() -> None:
    known = set().union(*labels_of_metrics().values())
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            kept = re.match(r"\w+ by \(([^)]*)\)", target["expr"])
            assert legend <= (set(kept[1].split(", ")) if kept else known), panel["title"]


def test_each_panel_asks_the_prometheus_that_is_chosen_and_lies_beside_the_others() -> None:
    board = dashboard()
    panels = board["panels"]
    places = [
        (x, y)
        for each in panels
        for box in [each["gridPos"]]
        for x in range(box["x"], box["x"] + box["w"])
        for y in range(box["y"], box["y"] + box["h"])
    ]
    sources = {each["datasource"]["uid"] for each in panels if each["type"] != "row"}

    assert sources == {"${datasource}"}
    assert len(places) == len(set(places))
    assert max(x for x, _y in places) < 24
    assert len({each["id"] for each in panels}) == len(panels)
    assert {"datasource", *CHOSEN} == {each["name"] for each in board["templating"]["list"]}
