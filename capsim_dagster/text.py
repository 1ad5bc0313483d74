r"""Text that others wrote, made safe to show: names of files, servers and columns, values, manifests, messages.

What a reader cannot see, or would be fooled by, is spelled out: controls such as the escape character that drives a
terminal, marks that turn the direction of reading, bytes of a file name that are no UTF-8. Each way out asks here:
messages (`errors`), the terminal (`cli.terminal`), Dagster's metadata and the audit page. HTML and rich's markup are
escaped besides by what renders them.

Line breaks: a value has none; in a message those stay that begin an indented line, as capsim's own do, so that no
value can look like a line of its own.
"""

import re
import unicodedata
from typing import Final

_INVISIBLE: Final = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")
"""Unicode categories: controls, format marks, unassigned, private, surrogates, line and paragraph separators."""
_OWN_LINE: Final = re.compile(r"(\n(?=  ))")
"""Line break of a message: what follows is indented."""
_INLINE: Final = re.compile(r"([\\`*\[\]<>&~|!#$@]|(?<![^\W_])_|_(?![^\W_])|(?<=www)\.|:(?=//))")
"""Characters that mean something anywhere in a line of Markdown: an underscore only at the edge of a word, a full stop
and a colon where an address would become a link."""
_BLOCK: Final = re.compile(r"^(\s*(?:\d+(?=[.)]))?)([-+.)])")
"""What begins a list or a rule at the start of a line."""
_PERCENT: Final = "\xa0%"
"""A line is not to break before the sign."""
_MEGA: Final = 1e6
_LAST_BYTE: Final = 0xFF
_LAST_OF_PLANE: Final = 0xFFFF


def visible(value: object) -> str:
    r"""Return a value as text in one line, with every character that cannot be seen spelled out.

    >>> visible("a\tb\x00" + chr(0x202E) + "é")
    'a\\tb\\x00\\u202eé'
    >>> visible("evil\nerror: \x1b[31mred")
    'evil\\nerror: \\x1b[31mred'
    """
    text = str(value)
    # Most texts are clean, and asking so costs a fiftieth. A no-break space, which is fine, is not printable either.
    return text if text.isprintable() else "".join(map(_spelled, text))


def visible_lines(message: object) -> str:
    r"""Return a message as `visible`, but for line breaks that begin an indented line.

    >>> print(visible_lines("2 faults:\n  a\x07\nb\n  -> mend them"))
    2 faults:
      a\x07\nb
      -> mend them
    """
    return "".join(part if part == "\n" else visible(part) for part in _OWN_LINE.split(str(message)))


def markdown(value: object) -> str:
    r"""Return a value as Markdown that shows just that text, in one line.

    >>> print(markdown("[x](javascript:y) <b> a_b_c"), markdown("1. a"), markdown("- a"))
    \[x\](javascript:y) \<b\> a_b_c 1\. a \- a
    """
    return _BLOCK.sub(r"\1\\\2", _INLINE.sub(r"\\\1", visible(value)))


def shortened(text: str, characters: int) -> str:
    """Return a text cut to so many characters, with a sign that it goes on.

    >>> shortened("abcdef", 4), shortened("abcd", 4)
    ('abcd…', 'abcd')
    """
    return text if len(text) <= characters else f"{text[:characters]}…"


def share(part: float) -> str:
    r"""Return a share in percent; neither something as nothing, nor almost all as all.

    >>> share(0.0), share(0.000001), share(0.0125), share(0.999999), share(1.0)
    ('0\xa0%', '<\xa00.01\xa0%', '1.25\xa0%', '>\xa099.99\xa0%', '100\xa0%')
    """
    if part in (0, 1):
        return f"{part * 100:.0f}{_PERCENT}"
    rounded = f"{part * 100:.2f}"
    return {"0.00": "<\xa00.01", "100.00": ">\xa099.99"}.get(rounded, rounded) + _PERCENT


def round_share(part: float) -> str:
    r"""Return a share that a person has set, as they would write it.

    >>> round_share(0.01), round_share(0.0125)
    ('1\xa0%', '1.25\xa0%')
    """
    return f"{part * 100:g}{_PERCENT}"


def megabytes(size: int) -> str:
    """Return a number of bytes in MB.

    >>> megabytes(1_234_567_890)
    '1,234.6'
    """
    return f"{size / _MEGA:,.1f}"


def _spelled(character: str) -> str:
    if unicodedata.category(character) not in _INVISIBLE:
        return character
    code = ord(character)
    if character in "\t\n\r":
        return {"\t": r"\t", "\n": r"\n", "\r": r"\r"}[character]
    if code <= _LAST_BYTE:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= _LAST_OF_PLANE else f"\\U{code:08x}"
