"""The dashboard for Grafana: its expressions, as they are when something is chosen in each variable."""

import json
import re
from typing import Any, Final

from capsim_dagster_tests.conftest import CONFIG

DASHBOARD: Final = CONFIG.parent / "grafana" / "capsim_live.json"
CHOSEN: Final = {
    "job": "capsim",
    "region": ".*",
    "department": ".*",
    "criticality": ".*",
    "resource": "cpu|memory",
    "threshold": "20",
    "host": "srv-000001",
}


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def expressions(board: dict[str, Any]) -> list[str]:
    """Return the expressions of all panels."""
    texts = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    return [re.sub(r"\$(\w+)", lambda match: CHOSEN[match[1]], text) for text in texts]
