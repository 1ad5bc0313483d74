"""Text of others: what reaches a message, the terminal and Markdown."""

import io
import os

from rich.table import Table

from capsim_dagster.cli.terminal import Terminal, escape
from capsim_dagster.errors import FeedError, listed
from capsim_dagster.text import markdown, visible, visible_lines
from capsim_dagster_tests.support.cases import each_case

RIGHT_TO_LEFT = chr(0x202E)
HOSTILE = f"\x1b[2J\x07:x:[red]{RIGHT_TO_LEFT}gpj.exe\nerror: all is well"
SPELLED = r":x:[red]\u202egpj.exe\nerror: all is well"


def printed(*objects: object) -> str:
    stream = io.StringIO()
    Terminal(file=stream, width=200).print(*objects)
    return stream.getvalue()


@each_case(
    ("text", "shown"),
    [
        ("srv-000001 é ✓ 7\xa0%", "srv-000001 é ✓ 7\xa0%"),
        (HOSTILE, r"\x1b[2J\x07" + SPELLED),
        (os.fsdecode(b"caf\xe9.csv"), r"caf\udce9.csv"),
        (chr(0x2028) + chr(0xFEFF) + chr(0xE0041), r"\u2028\ufeff\U000e0041"),
    ],
)
def test_what_cannot_be_seen_is_spelled_out_and_the_rest_stays(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(text).encode()


def test_no_value_in_a_message_can_look_like_a_line_of_its_own() -> None:
    error = FeedError(f"1 file is refused:\n  {HOSTILE}", remedy=f"mend {HOSTILE}")

    assert str(error).splitlines() == [
        "1 file is refused:",
        rf"  \x1b[2J\x07{SPELLED}",
        rf"  -> mend \x1b[2J\x07{SPELLED}",
    ]
    assert listed([HOSTILE, "a"]) == rf"\x1b[2J\x07{SPELLED}, a"


def test_terminal_gets_no_control_no_emoji_and_no_style_of_others() -> None:
    table = Table(escape(HOSTILE), title=escape(HOSTILE))
    table.add_row(escape(HOSTILE))

    out = printed(table, escape(HOSTILE), HOSTILE.partition("[red]")[0])

    assert out.count(SPELLED) == 4
    assert not {"\x1b", "\x07", RIGHT_TO_LEFT, "❌"} & {*out}


def test_terminal_keeps_what_capsim_lays_out_itself() -> None:
    assert printed("[green]all there[/]\n  ✓ 7\xa0%") == "all there\n  ✓ 7\xa0%\n"


@each_case(
    ("text", "shown"),
    [
        ("2024-01 cpu: 3 rows of host_id", "2024-01 cpu: 3 rows of host_id"),
        ("![x](http://a/b.png)", r"\!\[x\](http\://a/b.png)"),
        ("<img src=x onerror=y> a | b", r"\<img src=x onerror=y\> a \| b"),
        ("# head", r"\# head"),
        ("- item", r"\- item"),
        ("1. item\nmore", r"1\. item\\nmore"),
        ("_a_ b*c*", r"\_a\_ b\*c\*"),
    ],
)
def test_markdown_of_a_value_shows_the_value_alone(text: str, shown: str) -> None:
    assert markdown(text) == shown


def test_a_message_keeps_the_lines_that_it_indents() -> None:
    assert visible_lines("a\n  b\nc") == "a\n  b\\nc"
