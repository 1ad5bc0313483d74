"""The terminal: what others wrote reaches it spelled out, and whatever it cannot write is written another way.

Every text that is printed goes through `Terminal`, so that nothing in it can drive the terminal or turn what is read;
a value that goes between rich's own markup goes through `escape` besides.
"""

import sys
from collections.abc import Iterable
from typing import Any, Final

from rich import markup
from rich.console import Console
from rich.table import Table
from rich.text import Text

from capsim_dagster.text import visible, visible_lines

PAGE_WIDTH: Final = 140


class Terminal(Console):
    """A console that spells out what cannot be seen, and knows no `:emoji:`."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 those of rich
        """Take the options of rich's console."""
        super().__init__(emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 those of rich
        """Return a text as it is shown: rich asks here for each string, in tables too. The line breaks are ours."""
        return super().render_str("\n".join(map(visible, text.split("\n"))), **options)


def tell(terminal: Console, *lines: str) -> None:
    """Print lines of which each can be copied whole: only the terminal itself wraps them."""
    terminal.print(*lines, sep="\n", soft_wrap=True, highlight=False)


def titled(title: str, *columns: str, numbers: Iterable[int] = ()) -> Table:
    """Return an empty table with its title at the left; numbers are in the columns at these places, from 0 on."""
    table = Table(*columns, title=title, title_justify="left")
    for place in numbers:
        table.columns[place].justify = "right"
    return table


def console() -> Terminal:
    """Return the terminal, or a page wide enough for the tables where output goes to a file."""
    return Terminal() if sys.stdout.isatty() else Terminal(width=PAGE_WIDTH)


def escape(message: object) -> str:
    """Return a message or a value of others for a place where rich reads markup."""
    return markup.escape(visible_lines(message))
