"""The audit page: one HTML file that tells whether the table can be trusted, and why.

It needs nothing but itself: no script, no font, no style from elsewhere, so that it can be mailed, archived and opened
without a network. What it says is decided in `audit_view`.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

import duckdb
import jinja2

from capsim_dagster.audits.refinery import (
    ORIGIN_FACT,
    OWN_FEED,
    RAW_CHARACTERS,
    PieceState,
    RefineryAccount,
    Source,
    refinery_account,
)
from capsim_dagster.errors import SettingsError
from capsim_dagster.pipeline import audit_format, audit_terms, audit_view
from capsim_dagster.pipeline.audit_summary import audit_summary
from capsim_dagster.pipeline.audit_view import Level, PageView
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas.months import month_name
from capsim_dagster.storage import atomic_path
from capsim_dagster.text import shortened, visible
from capsim_dagster.warehouse import fact

_TEMPLATE: Final = "audit_page.html.j2"
_FOREIGN_CHARACTERS: Final = 300
"""How much of a path, a label or a finding is shown: a feed decides how long these are."""
_STATES: Final[Mapping[PieceState, str]] = {
    PieceState.LOADED: "every line is loaded",
    PieceState.PARTLY: "loaded, without the lines that were rejected",
    PieceState.REFUSED_KEPT: "refused; the rows of an earlier file are kept",
    PieceState.REFUSED: "refused; there are no rows",
    PieceState.HELD_BACK: "held back: another file of the month was refused, and there are no rows",
    PieceState.MISSING: "missing: no file was loaded",
    PieceState.STRAY: "rows without a file that accounts for them",
}

_SOURCES: Final[Mapping[Source, str]] = {
    Source.CHANGED: "≠ the file has changed since",
    Source.LOST: "≠ the file is gone since",
    Source.ROTATED: "no longer in the feed",
}


@dataclass(frozen=True)
class AuditPage:
    """An audit page that was written.

    Attributes:
        path: Where it is.
        verdict: Whether to trust the table, in one sentence.
        has_problems: Whether something needs attention: nothing loaded, a contradiction, a refused or missing file, one
            that changed or went since it was loaded, a month beyond the limit of rejected lines.
        counts: The totals that it shows, by name.
        summary: What it says first, as Markdown.
    """

    path: Path
    verdict: str
    has_problems: bool
    counts: Mapping[str, int]
    summary: str


def write_audit_page(platform: Platform, output: Path | None = None, *, now: dt.datetime | None = None) -> AuditPage:
    """Write the audit page of the warehouse, whole or not at all.

    Args:
        platform: Settings and paths.
        output: The file to write; None = the usual place under the data directory.
        now: When the page is made; None = now.

    Raises:
        WarehouseError: If the warehouse is missing, locked or of an older schema.
        SettingsError: If the file cannot be written.
    """
    refinery = platform.settings.refinery
    with platform.reading() as connection:
        account = refinery_account(connection, refinery.resources, _feed_root(platform, connection))
    view = audit_view.page_view(account, refinery.max_rejected_share, now or dt.datetime.now(dt.UTC))
    path = output or platform.layout.audit
    _publish(path, rendered(view, platform.layout.warehouse))
    has_problems = view.verdict.level is not Level.GOOD
    return AuditPage(path, view.verdict.sentence, has_problems, _counts(account), audit_summary(view))


def _feed_root(platform: Platform, connection: duckdb.DuckDBPyConnection) -> Path | None:
    """Return the root of the feed that the table holds, whatever the settings name; None = it holds none."""
    origin = fact(connection, ORIGIN_FACT)
    return platform.contract.root if origin == OWN_FEED else Path(origin) if origin else None


def rendered(view: PageView, warehouse: Path) -> str:
    """Return the page as HTML.

    Args:
        view: What it shows.
        warehouse: The file that the facts are from.
    """
    template = _environment().get_template(_TEMPLATE)
    return template.render(
        view=view,
        account=view.account,
        warehouse=str(warehouse),
        terms=audit_terms,
        states=_STATES,
        sources=_SOURCES,
        raw_characters=RAW_CHARACTERS,
        max_concerns=audit_view.MAX_CONCERNS,
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": audit_format.number,
        "share": audit_format.share,
        "size": audit_format.size,
        "month": month_name,
        "utc": audit_format.utc,
        "words": audit_format.words,
        "dialect": audit_format.dialect_words,
        "foreign": _foreign,
        "shade": audit_view.shade,
    }
    environment.tests["whole"] = audit_view.is_whole
    return environment


def _source(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _foreign(text: str, characters: int = _FOREIGN_CHARACTERS) -> str:
    return visible(shortened(text, characters))


def _publish(path: Path, page: str) -> None:
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(page, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror}", remedy="name another --output") from None


def _counts(account: RefineryAccount) -> dict[str, int]:
    totals = account.totals()
    return {
        "files": totals.files,
        "bytes": totals.bytes,
        "lines": totals.lines,
        "loaded": totals.loaded,
        "rejected": totals.rejected,
        "rows": totals.table_rows,
        "refused_files": len(account.refused),
        "absent_files": len(account.in_state(PieceState.REFUSED, PieceState.MISSING, PieceState.HELD_BACK)),
        "disagreements": len(account.disagreements),
        "changed_files": len(account.with_source(Source.CHANGED, Source.LOST)),
    }
