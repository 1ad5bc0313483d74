"""ARCHITECTURE.md and the READMEs of the rooms speak of what is there."""

import re
from pathlib import Path
from typing import Final

from capsim_dagster_tests.conftest import ROOT
from capsim_dagster_tests.support.cases import each_case

PACKAGE: Final = ROOT / "capsim_dagster"
PAGE: Final = PACKAGE / "ARCHITECTURE.md"
PAPERS: Final = [ROOT / "README.md", *sorted(PACKAGE.rglob("*.md"))]
_NAMED: Final = re.compile(r"`([a-z_0-9]+(?:/[a-z_0-9.]*)+|[a-z_0-9]+\.(?:py|toml))(?:::(\w+))?`")
_LINKED: Final = re.compile(r"\]\((?!http|#)([^)#]+)(?:#[^)]*)?\)")


def test_every_path_and_every_test_that_the_page_names_is_there() -> None:
    named = _NAMED.findall(PAGE.read_text(encoding="utf-8"))
    found = {path: next((base / path for base in (PACKAGE, ROOT) if (base / path).exists()), None) for path, _ in named}

    assert len(named) > 50
    assert [path for path, where in found.items() if where is None] == []
    tests = [(found[path], test) for path, test in named if test]
    assert [test for where, test in tests if where and f"def {test}(" not in where.read_text(encoding="utf-8")] == []


def test_every_room_has_a_line() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rooms = [path for path in PACKAGE.iterdir() if path.is_dir() and not path.name.startswith("__")]
    modules = [path for path in PACKAGE.glob("*.py") if path.name != "__init__.py"]

    lacking = [f"`{path.name}/`" for path in rooms] + [f"`{path.name}`" for path in modules]
    assert [name for name in lacking if name not in text] == []


@each_case("paper", PAPERS)
def test_no_link_leads_nowhere(paper: Path) -> None:
    links = _LINKED.findall(paper.read_text(encoding="utf-8"))

    assert [link for link in links if not (paper.parent / link).exists()] == []


def test_readme_is_short_enough_to_be_read() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 250
