"""Packages that somebody wrote to harm who verifies them: each manifest is sealed again, each footer has its digest."""

import copy
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from capsim_dagster.audits.report import Findings

UNSEALED: Final = "sha256:" + "0" * 64
_DEEP: Final = 100_000

VALUES: Final[dict[str, Any]] = {
    "null": None,
    "true": True,
    "negative": -1,
    "zero": 0,
    "fraction": 0.5,
    "beyond 64 bits": 2**63,
    "beyond 128 bits": 10**39,
    "of 5,000 digits": 10**5_000,
    "text": "x",
    "empty text": "",
    "control characters": "\x1b[31m\u202e\n:x:[red]",
    "long text": "y" * 200_000,
    "path": "../../../etc/passwd",
    "list": [],
    "list of null": [None],
    "object": {},
    "first day": "0001-01-01",
    "last day": "9999-12-31",
    "last time": "9999-12-31T23:59:59Z",
    "first time": "0001-01-01T00:00:00Z",
    "time without zone": "2026-01-15T00:00:00",
}
"""What a field of a manifest is replaced by."""
UNPROVABLE: Final = {"created", "supersedes", "sources.0.hash", "sources.0.bytes"}
"""Fields that nothing in a package contradicts: README says so."""
_DIGITS: Final = 6_000
"""Above those of any number here; Python writes 4,300 unless told otherwise."""


def seal(document: dict[str, Any]) -> bytes:
    """Return the text of a manifest with the hash of the rest."""
    if "hash" not in document:
        return _text(document)
    open_ = _text({**document, "hash": UNSEALED})
    return _text({**document, "hash": f"sha256:{hashlib.sha256(open_).hexdigest()}"})


def _text(document: object) -> bytes:
    usual = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(_DIGITS)
    try:
        return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode(errors="surrogatepass")
    finally:
        sys.set_int_max_str_digits(usual)


def edited(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield a manifest with one field replaced, absent or joined by another: its path, what was done, and the whole."""
    for path in _paths(document):
        for name, value in VALUES.items():
            yield ".".join(map(str, path)), name, _with(document, path, value)
        yield ".".join(map(str, path)), "absent", _without(document, path)
    yield "extra", "one more field", {**document, "extra": 1}


def _paths(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if path and path != ("hash",):
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _paths(item, (*path, key))
    if isinstance(value, list) and value:
        yield from _paths(value[0], (*path, 0))


def _with(document: dict[str, Any], path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    _holder(changed, path)[path[-1]] = value
    return changed


def _without(document: dict[str, Any], path: tuple[str | int, ...]) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    del _holder(changed, path)[path[-1]]
    return changed


def _holder(document: dict[str, Any], path: tuple[str | int, ...]) -> Any:  # noqa: ANN401 a mapping or a list
    found: Any = document
    for part in path[:-1]:
        found = found[part]
    return found


TEXTS: Final[dict[str, bytes]] = {
    "nothing": b"",
    "a number": b"1",
    "of 5,000 digits": b"9" * 5_000,
    "null": b"null",
    "a list": b"[]",
    "no JSON": b"{",
    "deep lists": b"[" * _DEEP + b"]" * _DEEP,
    "deep objects": b'{"a":' * _DEEP + b"1" + b"}" * _DEEP,
    "no UTF-8": b'{"name": "\xff\xfe"}',
    "a lone surrogate": b'{"name": "\\ud800"}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "twice the same key": b'{"name": "a", "name": "b"}',
    "not a number": b'{"rows": NaN}',
    "zeros": b"\0" * 100_000,
}
"""What a manifest may be in place of one."""


def footers(found: pa.Table, key: bytes) -> dict[str, pa.Table]:
    """Return tables that a data file may hold in place of the right one, by what is wrong.

    Args:
        found: The right one, with what its footer says under `key`.
        key: Where the footer says what the file is of.
    """
    said = {"text": b"x", "list": b"[]", "number": b"1", "null": b"null", "no UTF-8": b"\xff", "nothing": b""}
    said |= {"deep": b"[" * _DEEP, "values of all kinds": b'{"seed": [1], "day": {}, "dataset": null}'}
    said |= {"digits": b"9" * 5_000, "controls": b'{"dataset": "\\u001b[31m"}'}
    tables = {f"footer: {name}": found.replace_schema_metadata({key: text}) for name, text in said.items()}
    tables["footer: absent"] = found.replace_schema_metadata(None)
    for number, name in enumerate(found.schema.names):
        rest = f"column {name}"
        tables[f"{rest}: absent"] = found.remove_column(number)
        tables[f"{rest}: twice"] = found.append_column(found.schema.field(number), found.column(number))
        for kind, values in _columns(found.num_rows).items():
            tables[f"{rest}: {kind}"] = found.set_column(number, name, values)
    tables["no rows"] = found.slice(0, 0)
    tables["one row"] = found.slice(0, 1)
    tables["rows twice"] = pa.concat_tables([found, found])
    tables["no columns"] = found.select([])
    return tables | _values(found)


def _columns(rows: int) -> dict[str, pa.Array]:
    nested = pa.array([[{"a": 1}]] * rows, pa.list_(pa.struct([("a", pa.int64())])))
    return {
        "null": pa.nulls(rows),
        "texts": pa.array(["x"] * rows),
        "bytes": pa.array([b"\xff"] * rows),
        "nested": nested,
        "decimals": pa.array([1] * rows, pa.decimal128(38, 0)),
        "dictionary": pa.array(["x"] * rows).dictionary_encode(),
        "huge": pa.array([2**62] * rows, pa.int64()),
        "times": pa.array([0] * rows, pa.timestamp("ns")),
    }


def _values(found: pa.Table) -> dict[str, pa.Table]:
    """Return tables of the right columns whose values are extreme."""
    tables = {}
    for number, column in enumerate(found.schema):
        for name, value in _extremes(column.type).items():
            values = pa.array([value] * found.num_rows, pa.int64() if pa.types.is_timestamp(column.type) else None)
            right = _as_type(values, column.type)
            tables[f"values {column.name}: {name}"] = found.set_column(number, column, right)
        if column.nullable:
            tables[f"values {column.name}: none"] = found.set_column(
                number, column, pa.nulls(found.num_rows, column.type)
            )
    return tables


def _extremes(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_timestamp(kind):
        return {"lowest": -(2**63) + 1, "highest": 2**63 - 1, "year 10,000": 253_402_300_800_000_000}
    if pa.types.is_floating(kind):
        return {"NaN": float("nan"), "infinite": float("inf"), "huge": 1e308, "negative": -1.0}
    if pa.types.is_string(kind):
        return {"no UTF-8": b"\xff\xfe", "empty": b"", "controls": b"\x1b[31m\n", "long": b"z" * 10_000}
    width = 2 ** (kind.bit_width - 1)
    return {"lowest": -width, "highest": width - 1}


def _as_type(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return values as a type, whether they are sound by it or not."""
    if pa.types.is_string(kind):
        return pa.Array.from_buffers(kind, len(values), values.buffers())
    return values.cast(kind)


def write_data(folder: Path, table: pa.Table, document: dict[str, Any], **options: Any) -> None:  # noqa: ANN401
    """Write a data file, and a manifest that has its size, digest and rows."""
    with pq.ParquetWriter(folder / "data.parquet", table.schema, store_schema=False, **options) as writer:
        writer.write_table(table)
        if table.schema.metadata:
            writer.add_key_value_metadata({k.decode(): v for k, v in table.schema.metadata.items()})
    reseal(folder, document, table.num_rows)


def reseal(folder: Path, document: dict[str, Any], rows: int | None = None) -> None:
    """Write a manifest that has size and digest of the data file beside it."""
    content = (folder / "data.parquet").read_bytes()
    changed = copy.deepcopy(document)
    resource = changed["resources"][0]
    resource |= {"bytes": len(content), "hash": f"sha256:{hashlib.sha256(content).hexdigest()}"}
    if rows is not None:
        resource["rows"] = rows
    (folder / "manifest.json").write_bytes(seal(changed))


def _sparse(path: Path) -> None:
    path.unlink()
    with path.open("wb") as file:
        file.truncate(1 << 30)


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


PLACES: Final[dict[str, Callable[[Path], None]]] = {
    "a folder": _folder,
    "a pipe": _fifo,
    "a device": _device,
    "a link to itself": _loop,
    "a sparse gigabyte": _sparse,
}
"""What either file may be in place of one."""


Harm = Callable[[Path], object]
"""Does something to the folder of a sound package."""


def harms(good: Path) -> list[tuple[str, Harm]]:
    """Return what can be done to a package, by what it is.

    Args:
        good: The folder of a sound one.
    """
    document = json.loads((good / "manifest.json").read_bytes())
    table = pq.read_table(good / "data.parquet")
    found: list[tuple[str, Harm]] = [
        (f"{path}: {name}", partial(_write_manifest, changed=changed))
        for path, name, changed in edited(document)
        if path not in UNPROVABLE
    ]
    found += [(f"manifest: {name}", partial(_write_text, text=text)) for name, text in TEXTS.items()]
    found += [
        (name, partial(write_data, table=wrong, document=document)) for name, wrong in footers(table, b"capsim").items()
    ]
    for file in ("data.parquet", "manifest.json"):
        found += [(f"{file} is {name}", partial(_put, file=file, place=place)) for name, place in PLACES.items()]
    return found


def _put(folder: Path, file: str, place: Callable[[Path], None]) -> None:
    place(folder / file)


def _write_manifest(folder: Path, changed: dict[str, Any]) -> None:
    _write_text(folder, seal(changed))


def _write_text(folder: Path, text: bytes) -> None:
    (folder / "manifest.json").write_bytes(text)


def _is_other(folder: Path, document: dict[str, Any]) -> bool:
    """Whether a manifest says anything else: what an edit puts may be what was there, and null bounds are none."""
    found = json.loads((folder / "manifest.json").read_bytes())
    unlike = [_text(_without_null_bounds({**each, "hash": ""})) for each in (found, document)]
    return unlike[0] != unlike[1]


def _without_null_bounds(value: Any) -> Any:  # noqa: ANN401 whatever JSON holds
    if isinstance(value, list):
        return [_without_null_bounds(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {k: _without_null_bounds(v) for k, v in value.items() if v is not None or k not in ("minimum", "maximum")}


def unreported(good: Path, into: Path, verify: Callable[[Path], Findings], every: int) -> tuple[int, list[str]]:
    """Return how many hostile packages were verified, and those that passed.

    The report must be JSON that can be read, whatever stands in the package.

    Args:
        good: The folder of a sound one, whose name and parent's name say what it is of.
        into: Where they are made, one in the place of the other.
        verify: The verifier.
        every: Which of all are made: each such one.
    """
    document = json.loads((good / "manifest.json").read_bytes())
    chosen, passed = harms(good)[::every], []
    for what, harm in chosen:
        bad = into / good.parent.name / good.name
        shutil.rmtree(bad, ignore_errors=True)
        shutil.copytree(good, bad)
        harm(bad)
        found = verify(bad)
        assert json.loads(found.as_json().encode())["passed"] == found.passed, what
        if found.passed and _is_other(bad, document):
            passed.append(what)
    return len(chosen), passed
