"""Exports of the small fleet with defects, and the lists of what was damaged."""

from typing import Final

from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.legacy_feed.export import export_piece
from capsim_dagster.legacy_feed.inspect import InspectedFile
from capsim_dagster.legacy_feed.manifest import DefectList, list_path, read_list
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas import Resource
from capsim_dagster.settings import Defects
from capsim_dagster.simulated.master import MasterFile
from capsim_dagster_tests.conftest import MONTHS

PIECES: Final = [FeedPiece(month, resource) for month in MONTHS for resource in Resource]
FEBRUARY_CPU: Final = FeedPiece(202302, Resource.CPU)


def dirty(platform: Platform, **defects: object) -> Platform:
    """Return the platform with defects in its feed."""
    facts = platform.settings.legacy_feed.model_copy(update={"defects": Defects.model_validate(defects)})
    return Platform(platform.settings.model_copy(update={"legacy_feed": facts}))


def export_all(platform: Platform) -> dict[FeedPiece, InspectedFile]:
    master = MasterFile(platform.layout.master)
    return {piece: export_piece(master, platform.contract, piece, platform.layout.defects) for piece in PIECES}


def listed(platform: Platform, piece: FeedPiece = FEBRUARY_CPU) -> DefectList:
    return read_list(list_path(platform.contract, platform.layout.defects, piece))
