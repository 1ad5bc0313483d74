"""Random mutations of a file of a dataset, each of which its verifier must report."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

FILES: Final = ("data.parquet", "manifest.json")
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


def mutations_missed(path: Path, kind: str, tries: int, passes: Callable[[], bool]) -> list[bytes]:
    """Return the mutations of a file that a verifier lets pass; the file is as it was afterwards.

    Args:
        path: The file.
        kind: Name of the mutation.
        tries: How many that differ from the file.
        passes: Whether the dataset passes now.
    """
    whole = path.read_bytes()
    draw = np.random.default_rng([tries, list(MUTATIONS).index(kind), FILES.index(path.name)])
    tried, found = 0, []
    while tried < tries:
        mutated = MUTATIONS[kind](whole, draw)
        if mutated == whole:
            continue
        tried += 1
        path.write_bytes(mutated)
        if passes():
            found.append(mutated)
    path.write_bytes(whole)
    return found
