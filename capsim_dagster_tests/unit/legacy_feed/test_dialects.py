import datetime as dt
import gzip
import io
from pathlib import Path
from typing import Any

import polars as pl

from capsim_dagster.legacy_feed.dialects import Dialect, compressed, plain_dialect
from capsim_dagster.legacy_feed.dirt.variants import EXTRA_COLUMNS, known_labels, possible_dialects
from capsim_dagster.schemas import DialectTrait, Resource
from capsim_dagster.settings import INJECTED_TRAITS, LegacyFeed
from capsim_dagster_tests.conftest import small_settings
from capsim_dagster_tests.support.cases import each_case

FEED = small_settings(Path("unused")).legacy_feed
ROWS = pl.DataFrame(
    {
        "date": [dt.date(2023, 2, 1), dt.date(2023, 2, 13)],
        "host_id": ["srv-000001", "srv-000002"],
        "p95_util": [37.96, None],
        "capacity": [64.0, 8.0],
    },
    schema_overrides={"p95_util": pl.Float32, "host_id": pl.Categorical},
)


def settings(**fields: object) -> LegacyFeed:
    return LegacyFeed.model_validate(FEED.model_dump(mode="json") | fields)


def text(dialect: Dialect, frame: pl.DataFrame = ROWS) -> bytes:
    stream = io.BytesIO()
    dialect.write_rows(frame, stream)
    return dialect.encode(f"{dialect.header}\n".encode() + stream.getvalue())


def dialect_of(trait: DialectTrait, number: float, feed: LegacyFeed = FEED) -> Dialect:
    return dict(possible_dialects(feed, plain_dialect(feed, Resource.CPU), number))[trait]


def traits_of(feed: LegacyFeed) -> set[DialectTrait]:
    return {trait for trait, _ in possible_dialects(feed, plain_dialect(feed, Resource.CPU), 0.5)}


PLAIN = b"date,host_id,cpu_p95,max_cores\n2023-02-01,srv-000001,37.96,64\n2023-02-13,srv-000002,,8\n"


def test_plain_dialect_is_the_first_of_each_candidate() -> None:
    assert text(plain_dialect(FEED, Resource.CPU)) == PLAIN
    other = settings(delimiters=[";", ","], date_formats=["%d.%m.%Y"], null_values=["NA", "-"], decimal_signs=[","])
    assert text(plain_dialect(other, Resource.CPU)) == (
        b"date;host_id;cpu_p95;max_cores\n01.02.2023;srv-000001;37,96;64\n13.02.2023;srv-000002;NA;8\n"
    )


def test_plain_fields_that_hold_the_delimiter_are_quoted() -> None:
    comma = settings(delimiters=[","], decimal_signs=[","])
    assert text(plain_dialect(comma, Resource.CPU)).splitlines()[1] == b'"2023-02-01","srv-000001","37,96","64"'
    assert not {DialectTrait.QUOTED, DialectTrait.DECIMAL_COMMA} & traits_of(comma)


def test_labels_that_hold_the_delimiter_or_a_quote_are_quoted() -> None:
    odd = settings(date_columns=["day, local"], host_columns=['the "host"'])
    assert text(plain_dialect(odd, Resource.CPU)).splitlines()[0] == (b'"day, local","the ""host""",cpu_p95,max_cores')


@each_case(
    ("trait", "number", "expected"),
    [
        ("bom", 0.5, b"\xef\xbb\xbf" + PLAIN),
        ("utf_16", 0.5, b"\xff\xfe" + PLAIN.decode().encode("utf-16-le")),
        ("crlf", 0.5, PLAIN.replace(b"\n", b"\r\n")),
        ("cr", 0.5, PLAIN.replace(b"\n", b"\r")),
        ("semicolon", 0.5, PLAIN.replace(b",", b";")),
        ("tab", 0.5, PLAIN.replace(b",", b"\t")),
        ("decimal_comma", 0.5, PLAIN.replace(b",", b";").replace(b"37.96", b"37,96")),
        (
            "quoted",
            0.5,
            b'"date","host_id","cpu_p95","max_cores"\n"2023-02-01","srv-000001","37.96","64"\n'
            b'"2023-02-13","srv-000002","","8"\n',
        ),
        ("header_case", 0.2, PLAIN.replace(b"date,host_id,cpu_p95,max_cores", b"DATE,HOST_ID,CPU_P95,MAX_CORES")),
        (
            "header_case",
            0.8,
            PLAIN.replace(b"date,host_id,cpu_p95,max_cores", b" date , host_id , cpu_p95 , max_cores "),
        ),
        (
            "column_order",
            0.0,
            b"date,host_id,max_cores,cpu_p95\n2023-02-01,srv-000001,64,37.96\n2023-02-13,srv-000002,8,\n",
        ),
        (
            "column_order",
            0.999,
            b"max_cores,cpu_p95,host_id,date\n64,37.96,srv-000001,2023-02-01\n8,,srv-000002,2023-02-13\n",
        ),
        (
            "extra_columns",
            0.0,
            b"site,date,host_id,cpu_p95,max_cores\nfra-2,2023-02-01,srv-000001,37.96,64\n"
            b"fra-2,2023-02-13,srv-000002,,8\n",
        ),
        (
            "extra_columns",
            0.999,
            b"date,host_id,cpu_p95,max_cores,unit,site\n2023-02-01,srv-000001,37.96,64,percent,fra-2\n"
            b"2023-02-13,srv-000002,,8,percent,fra-2\n",
        ),
        ("date_format", 0.0, PLAIN.replace(b"2023-02-01", b"2023-02-01T00:00:00").replace(b"-13,", b"-13T00:00:00,")),
        ("date_format", 0.999, PLAIN.replace(b"2023-02-01", b"02/01/2023").replace(b"2023-02-13", b"02/13/2023")),
        ("trailing_blank_lines", 0.0, PLAIN + b"\n"),
        ("trailing_blank_lines", 0.999, PLAIN + b"\n\n\n"),
    ],
)
def test_trait_changes_the_file_as_it_says(trait: str, number: float, expected: bytes) -> None:
    assert text(dialect_of(DialectTrait(trait), number)) == expected


def test_gzip_holds_the_plain_file_without_name_and_time() -> None:
    content = text(dialect_of(DialectTrait.GZIP, 0.5))
    assert gzip.decompress(content) == PLAIN
    # RFC 1952: no flags, so no name, and a modification time of zero.
    assert content[:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"
    assert content == compressed(PLAIN)


@each_case("trait", INJECTED_TRAITS)
@each_case("number", [0.0, 0.3, 0.6, 0.999])
def test_single_lines_are_written_as_the_whole_is(trait: DialectTrait, number: float) -> None:
    dialect = dialect_of(trait, number)
    stream = io.BytesIO()
    dialect.write_rows(ROWS, stream)
    lines = [dialect.line(texts) for texts in dialect.texts(ROWS)]
    assert stream.getvalue().decode().splitlines() == lines
    assert dialect.traits[0] == trait


def test_every_trait_that_settings_may_name_can_be_made_and_differs_from_the_plain_feed() -> None:
    plain = plain_dialect(FEED, Resource.CPU)
    made = dict(possible_dialects(FEED, plain, 0.5))
    assert set(made) == set(INJECTED_TRAITS)
    assert all(text(dialect) != PLAIN for dialect in made.values())
    assert [trait for trait, dialect in made.items() if dialect.traits != (trait,)] == [DialectTrait.DECIMAL_COMMA]
    assert made[DialectTrait.DECIMAL_COMMA].traits == (DialectTrait.DECIMAL_COMMA, DialectTrait.SEMICOLON)


@each_case(
    ("fields", "left_out"),
    [
        ({"delimiters": [","]}, {"semicolon", "tab", "decimal_comma"}),
        ({"delimiters": [",", "\t"]}, {"semicolon", "decimal_comma"}),
        ({"delimiters": [";", ","]}, {"semicolon", "tab"}),
        ({"decimal_signs": ["."]}, {"decimal_comma"}),
        ({"date_formats": ["%Y-%m-%d"]}, {"date_format"}),
        ({"date_formats": ["%Y-%m-%d", "%b %d, %Y"]}, {"date_format"}),
        ({"date_formats": ["%Y;%m;%d", "%Y-%m-%d"]}, {"semicolon", "decimal_comma"}),
    ],
)
def test_trait_that_the_settings_cannot_express_is_left_out(fields: dict[str, Any], left_out: set[str]) -> None:
    assert set(INJECTED_TRAITS) - traits_of(settings(**fields)) == left_out


def test_decimal_comma_keeps_a_delimiter_that_is_no_comma() -> None:
    dialect = dialect_of(DialectTrait.DECIMAL_COMMA, 0.5, settings(delimiters=["\t", ","]))
    assert (dialect.delimiter, dialect.traits) == ("\t", (DialectTrait.DECIMAL_COMMA,))


def test_extra_labels_give_way_to_those_of_the_settings() -> None:
    feed = settings(host_columns=["host_id", "SITE"])
    labels = {
        column.label
        for number in range(60)
        for column in dialect_of(DialectTrait.EXTRA_COLUMNS, number / 60, feed).columns
    }
    assert "site" not in labels
    assert "site_" in labels


def test_labels_without_another_case_are_padded() -> None:
    feed = settings(date_columns=["日付"], host_columns=["主機"])
    resources = feed.model_dump(mode="json")["resources"]
    resources["cpu"] |= {"value_column": "使用率", "capacity_column": "容量"}
    dialect = dialect_of(
        DialectTrait.HEADER_CASE, 0.1, settings(date_columns=["日付"], host_columns=["主機"], resources=resources)
    )
    assert dialect.header == " 日付 , 主機 , 使用率 , 容量 "


def test_known_labels_are_those_of_all_resources() -> None:
    assert {"date", "host", "cpu_p95", "throughput_mbps"} < set(known_labels(FEED))
    assert not {label for label, _ in EXTRA_COLUMNS} & set(known_labels(FEED))
