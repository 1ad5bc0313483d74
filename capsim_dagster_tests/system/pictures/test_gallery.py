"""The pictures beside assets: which there are, and that they are drawn when somebody looks at what has changed."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from capsim_dagster.orchestration.keys import PICTURES
from capsim_dagster.pictures import gallery
from capsim_dagster.pictures.gallery import OF_ASSETS, drawn_beside, picture_beside
from capsim_dagster.pipeline import stages
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster_tests.support.pictures.views import texts
from capsim_dagster_tests.support.sabotage import run_sql

pytestmark = pytest.mark.usefixtures("_opened_once")


def test_each_asset_names_just_the_pictures_that_are_drawn_of_it(platform: Platform) -> None:
    stages.ground_truth(platform)
    drawn = {asset: tuple(drawn_beside(platform, asset, list)) for asset in OF_ASSETS}

    assert drawn == {asset.to_user_string(): names for asset, names in PICTURES.items()}


def test_a_picture_is_drawn_once_and_again_when_what_it_shows_has_changed(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, asked = OF_ASSETS["host_inventory"], list[Platform]()

    def counted(platform: Platform) -> Mapping[str, bytes]:
        asked.append(platform)
        return draw(platform)

    monkeypatch.setattr(gallery, "OF_ASSETS", {"host_inventory": counted})

    first = shown(platform)
    assert "by department" in " ".join(texts(first))
    assert (shown(platform), len(asked)) == (first, 1)

    run_sql(platform, "DELETE FROM warehouse_info")
    assert "cannot be drawn now" in " ".join(texts(shown(platform)))
    stages.host_inventory(platform)
    assert (shown(platform), len(asked)) == (first, 3)
    folders = platform.layout.dagster_home / "pictures" / "host_inventory"
    assert len(list(folders.iterdir())) == 1


def shown(platform: Platform) -> bytes:
    found = picture_beside(platform, "host_inventory", "fleet_composition", list)
    assert found is not None
    return found


@pytest.mark.parametrize(("asset", "name"), [("processed_data", "x"), ("host_inventory", "x"), ("..", "runs")])
def test_nothing_but_a_picture_is_shown(platform: Platform, asset: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "x.svg").write_text("not shown")

    assert picture_beside(platform, asset, name, list) is None
