"""Whatever stands in a package of a day or an hour, verifying it ends with findings, and says that it is not sound."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capsim_dagster.publication.dataset.folder import read_published
from capsim_dagster.publication.tier2.verify import verify_hour
from capsim_dagster.publication.tier3.manifest import DayManifest
from capsim_dagster.publication.tier3.verify import verify_dataset
from capsim_dagster_tests.support.publication.hostile import PLACES, reseal, seal
from capsim_dagster_tests.support.publication.tier2.fixtures import _built_hour, archive, hour

__all__ = ["_built_hour", "archive", "hour"]

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_json_in_any_field_of_a_manifest_gives_a_report(data: st.DataObject, hour: Path) -> None:
    text = (hour / "manifest.json").read_bytes()
    document = json.loads(text)
    field = data.draw(st.sampled_from(sorted(document)))
    try:
        (hour / "manifest.json").write_bytes(seal({**document, field: data.draw(_JSON)}))
        assert json.loads(verify_hour(hour).as_json())["findings"]
    finally:
        (hour / "manifest.json").write_bytes(text)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200), keep=st.integers(0, 200))
def test_any_bytes_for_data_under_a_manifest_that_vouches_for_them_are_reported(
    content: bytes, keep: int, hour: Path
) -> None:
    whole, text = ((hour / name).read_bytes() for name in ("data.parquet", "manifest.json"))
    try:
        # What follows the last bytes of a file of Parquet is its footer: some start with its magic number.
        (hour / "data.parquet").write_bytes(whole[:keep] + content + whole[len(whole) - keep :])
        reseal(hour, json.loads(text))
        assert content == b"" or not verify_hour(hour).passed
    finally:
        (hour / "data.parquet").write_bytes(whole)
        (hour / "manifest.json").write_bytes(text)


@pytest.mark.parametrize("rows", [1_000_001, 20_000_000])
def test_more_rows_than_the_manifest_has_are_not_read(rows: int, published: Path) -> None:
    table = pq.read_table(published / "data.parquet")
    one = table.slice(0, 1)
    many = (
        pa.table(
            [
                pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), rows), one[n].combine_chunks())
                for n in one.schema.names
            ],
            names=one.schema.names,
        )
        if rows < 2_000_000
        else pa.table({"ts": pa.nulls(rows, pa.bool_())})
    )
    document = json.loads((published / "manifest.json").read_bytes())
    pq.write_table(many, published / "data.parquet", compression="zstd")
    reseal(published, document)

    (unread,) = [each for each in verify_dataset(published).errors if each.claim == "data_are_readable"]

    assert f"{rows:,} rows" in unread.message


def test_a_row_group_too_large_for_memory_is_not_read_even_where_the_manifest_has_it(published: Path) -> None:
    document = json.loads((published / "manifest.json").read_bytes())
    pq.write_table(pa.table({"ts": pa.nulls(4_000_001, pa.bool_())}), published / "data.parquet", row_group_size=2**23)
    reseal(published, document, 4_000_001)

    (unread,) = [each for each in verify_dataset(published).errors if each.claim == "data_are_readable"]

    assert "4,000,001 rows" in unread.message


@pytest.mark.parametrize("place", ["a pipe", "a device", "a folder"])
def test_data_that_are_no_file_are_not_read_for_ever_where_a_manifest_vouches_for_them(
    place: str, published: Path
) -> None:
    PLACES[place](published / "data.parquet")

    assert read_published(published, DayManifest) is None
