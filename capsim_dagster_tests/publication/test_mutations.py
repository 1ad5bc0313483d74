"""Every flipped bit, cut, swap, edit and deletion of either file is an error; an untouched dataset passes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from capsim_dagster.errors import PublicationError
from capsim_dagster.publication.manifest import parse_manifest
from capsim_dagster.publication.verify import verify_dataset

FILES = ("data.parquet", "manifest.json")
Mutate = Callable[[bytes, np.random.Generator], bytes]


def flip(content: bytes, draw: np.random.Generator) -> bytes:
    place, bit = int(draw.integers(len(content))), int(draw.integers(8))
    return content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :]


def cut(content: bytes, draw: np.random.Generator) -> bytes:
    return content[: int(draw.integers(len(content)))]


def swap(content: bytes, draw: np.random.Generator) -> bytes:
    """Swap two pieces of one length that do not overlap."""
    size = int(draw.integers(1, len(content) // 3))
    first = int(draw.integers(len(content) - 2 * size + 1))
    second = int(draw.integers(first + size, len(content) - size + 1))
    pieces = (content[:first], content[second : second + size], content[first + size : second])
    return b"".join([*pieces, content[first : first + size], content[second + size :]])


def edit(content: bytes, draw: np.random.Generator) -> bytes:
    """Put printable text over some bytes."""
    place, size = int(draw.integers(len(content))), int(draw.integers(1, 9))
    text = bytes(draw.integers(32, 127, size).astype(np.uint8))
    return content[:place] + text + content[place + size :]


def lose(content: bytes, draw: np.random.Generator) -> bytes:
    """Take some bytes out."""
    place, size = int(draw.integers(len(content))), int(draw.integers(1, 100))
    return content[:place] + content[place + size :]


def grow(content: bytes, draw: np.random.Generator) -> bytes:
    """Say some bytes twice."""
    place, size = int(draw.integers(len(content))), int(draw.integers(1, 100))
    return content[: place + size] + content[place:]


MUTATIONS: dict[str, Mutate] = {each.__name__: each for each in (flip, cut, swap, edit, lose, grow)}


@pytest.mark.parametrize("tries", [8, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", MUTATIONS)
def test_every_one_of_many_random_mutations_is_an_error(kind: str, name: str, tries: int, published: Path) -> None:
    path = published / name
    whole = path.read_bytes()
    draw = np.random.default_rng([tries, list(MUTATIONS).index(kind), FILES.index(name)])
    tried, missed = 0, []
    while tried < tries:
        mutated = MUTATIONS[kind](whole, draw)
        if mutated == whole:
            continue
        tried += 1
        path.write_bytes(mutated)
        if verify_dataset(published).passed:
            missed.append(mutated)

    assert missed == []
    path.write_bytes(whole)
    assert verify_dataset(published).passed


@pytest.mark.slow
def test_a_flipped_bit_in_any_place_of_the_manifest_shows_in_the_manifest_alone(published: Path) -> None:
    whole = (published / "manifest.json").read_bytes()
    missed = []
    for place in range(0, len(whole), 5):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << (place // 5 % 8)
        try:
            manifest = parse_manifest(bytes(flipped), "")
        except PublicationError:
            continue
        if manifest.is_sealed and manifest.text.encode() == flipped:
            missed.append(place)

    assert missed == []


def test_a_file_of_another_dataset_in_place_of_either_is_an_error(published: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(published, other)
    (other / "data.parquet").write_bytes((published / "data.parquet").read_bytes() + b"\0")

    for name, source in (("data.parquet", "manifest.json"), ("manifest.json", "data.parquet")):
        shutil.copy(published / source, other / name)
        assert not verify_dataset(other).passed
        shutil.copy(published / name, other / name)
    assert verify_dataset(other).passed
