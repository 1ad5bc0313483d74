"""What a panel is expected to hold: as the settings, its own footer or its name say."""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from capsim_dagster.errors import PanelError
from capsim_dagster.panel.contract import FOOTER_KEY
from capsim_dagster.panel.find import FoundPanel
from capsim_dagster.settings import Settings


@dataclass(frozen=True)
class Expectation:
    """Servers and days that a panel must hold.

    Attributes:
        servers: How many servers; None = nothing says it.
        servers_said_by: Who says it.
        start: First day; None = nothing says it.
        end: Last day.
        days_said_by: Who says it.
    """

    servers: int | None = None
    servers_said_by: str = ""
    start: dt.date | None = None
    end: dt.date | None = None
    days_said_by: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "servers": self.servers,
            "servers_said_by": self.servers_said_by or None,
            "start": self.start and self.start.isoformat(),
            "end": self.end and self.end.isoformat(),
            "days_said_by": self.days_said_by or None,
        }


@dataclass(frozen=True)
class PanelFooter:
    """What the footer of a panel of capsim's says.

    Attributes:
        servers: Servers in it.
        start: First day.
        end: Last day.
    """

    servers: int
    start: dt.date
    end: dt.date


def read_footer(metadata: Mapping[bytes, bytes]) -> PanelFooter | None:
    """Return what the footer says, None if the file is not capsim's.

    Raises:
        PanelError: If it is capsim's, but cannot be understood.
    """
    raw = metadata.get(FOOTER_KEY.encode())
    if raw is None:
        return None
    try:
        facts = json.loads(raw)
        days = [dt.date.fromisoformat(facts[name]) for name in ("start", "end")]
        return PanelFooter(int(facts["servers"]), *days)
    except (ValueError, TypeError, KeyError) as error:
        raise PanelError(
            f"the footer {FOOTER_KEY} says not which servers and days the panel holds: {error!r}",
            remedy="generate the panel again, or remove the key",
        ) from None


def expectation(settings: Settings, found: FoundPanel, footer: PanelFooter | None) -> Expectation:
    """Return what a panel must hold: the setting counts first, then its footer, its name and the fleet."""
    servers, servers_by = _servers(settings, found, footer)
    claims = [("footer", footer.start, footer.end)] if footer else []
    if name := found.name:
        claims.append(("name", name.start, name.end))
    return Expectation(
        servers,
        servers_by,
        min((start for _, start, _ in claims), default=None),
        max((end for _, _, end in claims), default=None),
        " and ".join(source for source, _, _ in claims),
    )


def _servers(settings: Settings, found: FoundPanel, footer: PanelFooter | None) -> tuple[int | None, str]:
    if (servers := settings.panel.validation.expected_servers) is not None:
        return servers, "panel.validation.expected_servers"
    if footer:
        return footer.servers, "footer"
    # Whoever rewrites a panel in place with a tool that drops the footer cannot thereby drop half of the fleet.
    return (settings.data_generation.num_servers, "data_generation.num_servers") if found.is_own else (None, "")
