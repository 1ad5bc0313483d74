"""README's table of checks says what is claimed, and every claim is a sentence."""

import re
from typing import Final

from capsim_dagster.audits.claims import KNOWN, KnownAsset, sentence, told
from capsim_dagster.audits.report import Finding
from capsim_dagster_tests.conftest import ROOT
from capsim_dagster_tests.support.cases import each_case

README: Final = ROOT / "README.md"
EVERY: Final = {"months": "month by month ", "days": "day by day ", "hours": "hour by hour ", "": ""}


def cell(known: KnownAsset) -> str:
    """Return what the table says of an asset's checks."""
    names = {kind: [f"`{name}`" for name in claims] for kind, claims in (("", known.gates), ("w", known.warnings))}
    told_of = [", ".join(names[""])] if names[""] else []
    if names["w"]:
        kind = "as warnings" if len(names["w"]) > 1 else "as a warning"
        told_of.append(f"{kind} {', '.join(names['w'])}" if names[""] else ", ".join(names["w"]))
    return EVERY[known.unit] + ", and ".join(told_of)


def shown() -> dict[str, str]:
    """Return the table: what is said of the checks of each asset, by its name."""
    rows = re.findall(r"^\| `([a-z0-9_/*]+)` \| .* \| (.*) \|$", README.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {asset: checks for asset, checks in rows if asset.replace("*", "cpu") in KNOWN}


@each_case("known", KNOWN.values())
def test_readme_names_the_checks_of_each_asset(known: KnownAsset) -> None:
    assert shown()[re.sub("/.*", "/*", known.name)] == cell(known)


@each_case("known", KNOWN.values())
def test_each_claim_is_a_sentence(known: KnownAsset) -> None:
    for said in (*known.gates.values(), *known.warnings.values()):
        assert re.fullmatch(r"[A-Z0-9].*[^ .]\.", said)


def test_a_finding_is_told_with_its_sentence() -> None:
    lost = Finding("row_parity", examples=["2 rows are lost"])
    assert sentence("time_dimension", "calendar_is_contiguous").startswith("each day of the window")
    assert told("master_parquet", lost) == (
        "exactly one row for each host x resource x day: does not hold (2 rows are lost)"
    )
