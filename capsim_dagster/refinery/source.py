"""The text of a feed file: compression, encoding and line ends undone, block by block, and nothing else.

A block holds whole lines of UTF-8, each with one line feed, so that what follows never sees how the file was packed.
Lines are physical lines: no quote spans two of them, so that an unclosed one costs its own line alone.
"""

import codecs
import gzip
import hashlib
import io
import math
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from capsim_dagster.refinery.rules import FileRefused
from capsim_dagster.schemas import DialectTrait, FileFault

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK_BYTES: Final = 4 << 20
"""Text held at a time; a month of 2,000 hosts is 2 MB, and a line of two bytes takes a hundred of working memory."""
MAX_LINE_BYTES: Final = 64 << 20
"""A longer line is none: a disk image, or a file of zeros that a crash left."""
MAX_RATIO: Final = 200
"""Text that a byte of a compressed file may hold; idle hosts in their order have 15, a bomb 1,000."""
_UNASKED_BYTES: Final = 64 << 20
"""Text up to which no ratio is asked for."""
_GZIP_MAGIC: Final = b"\x1f\x8b"
_UTF_16: Final = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_PROBE_BYTES: Final = 64
"""Enough of the header to see that every second byte of UTF-16 without a mark is zero."""
_HALF_A_CHARACTER: Final = b"\xff"
"""Stands for the end of UTF-16 that was cut within a character: no text, so that its line cannot pass for whole."""


@dataclass(frozen=True)
class Block:
    """Some consecutive lines of a file, in UTF-8, each with a line feed; bytes that are no text stand as they are.

    `first_line` is the number of the first of them, 1 for the first line of a file; `is_terminated` says whether the
    last line has its own end: it has, but at the end of a file.
    """

    text: bytes
    first_line: int
    is_terminated: bool = True


class _DigestedFile(io.FileIO):
    """A file whose bytes are digested as they are read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.digest = hashlib.sha256()

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        count = super().readinto(buffer)
        self.digest.update(memoryview(buffer)[:count])
        return count


class FeedSource:
    """A feed file that is read from start to end, as often as needed, and always the same bytes.

    Attributes:
        sha256: Hex digest of the file as it lies on disk.
        traits: How it is packed; complete once the first block was read.
        encoding: `utf-8`, `utf-16-le` or `utf-16-be`; as for `traits`.
    """

    def __init__(self, path: Path, *, max_text_mb: float = math.inf) -> None:
        """Read size and digest of a file, whose text may have so many MiB.

        Raises:
            FileRefused: If the file cannot be read or is empty.
        """
        self.path = path
        self._max_text_mb = max_text_mb
        self.traits: set[DialectTrait] = set()
        self.encoding = "utf-8"
        try:
            with path.open("rb") as stream:
                self.sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
                self.bytes = stream.tell()
        except OSError as error:
            raise _unreadable(error) from None
        if not self.bytes:
            raise FileRefused(FileFault.EMPTY, "the file holds no byte")

    def blocks(self) -> Iterator[Block]:
        """Yield the lines of the file, in order.

        Raises:
            FileRefused: If the file cannot be read to its end, holds too much or a line without end, or is no longer
                the one whose digest was read.
        """
        line, rest, yielded = 1, b"", b""
        for text in self._with_line_feeds():
            # Counted only where there is more to come: most files are one block.
            line, yielded = line + yielded.count(b"\n"), b""
            rest += text
            cut = rest.rfind(b"\n") + 1
            if cut:
                yielded, rest = rest[:cut], rest[cut:]
                yield Block(yielded, line)
            if len(rest) > MAX_LINE_BYTES:
                number = line + yielded.count(b"\n")
                raise FileRefused(FileFault.NOT_CSV, f"line {number:,} has more than {MAX_LINE_BYTES >> 20} MB")
        if rest:
            yield Block(rest + b"\n", line + yielded.count(b"\n"), is_terminated=False)

    def _with_line_feeds(self) -> Iterator[bytes]:
        """Yield the text with a line feed at the end of each line, whatever stood there."""
        is_bare, held = False, b""
        for index, text in enumerate(self._as_utf_8()):
            chunk = held + text
            if index == 0 and b"\n" not in chunk and b"\r" in chunk[:-1]:
                is_bare = True
                self.traits.add(DialectTrait.CR)
            if is_bare:
                yield chunk.replace(b"\r", b"\n")
                continue
            # A pair of \r\n may be cut in two by the end of a chunk.
            held = b"\r" if chunk.endswith(b"\r") else b""
            chunk = chunk.removesuffix(b"\r")
            # Looking for one byte first is ten times as fast, and most files have none.
            if b"\r" in chunk and b"\r\n" in chunk:
                self.traits.add(DialectTrait.CRLF)
                chunk = chunk.replace(b"\r\n", b"\n")
            yield chunk
        if held:
            yield held

    def _as_utf_8(self) -> Iterator[bytes]:
        """Yield the content in UTF-8, without a byte order mark."""
        decoder: codecs.IncrementalDecoder | None = None
        for index, chunk in enumerate(self._content()):
            text = chunk
            if index == 0:
                text = self._without_mark(chunk)
                if self.encoding != "utf-8":
                    # Lone surrogates pass through as bytes that are no UTF-8: they cost their line, not the file.
                    decoder = codecs.getincrementaldecoder(self.encoding)("surrogatepass")
            yield text if decoder is None else decoder.decode(text).encode("utf-8", "surrogatepass")
        if decoder is not None and decoder.getstate()[0]:
            yield _HALF_A_CHARACTER

    def _without_mark(self, head: bytes) -> bytes:
        """Return the start of the content without its byte order mark, and note the encoding."""
        if head.startswith(codecs.BOM_UTF8):
            self.traits.add(DialectTrait.BOM)
            return head.removeprefix(codecs.BOM_UTF8)
        for mark, encoding in _UTF_16.items():
            probe = head[:_PROBE_BYTES]
            zeros = probe[1::2] if encoding.endswith("le") else probe[::2]
            if probe.startswith(mark) or (len(zeros) > 1 and not any(zeros)):
                self.traits.add(DialectTrait.UTF_16)
                self.encoding = encoding
                return head.removeprefix(mark)
        return head

    def _content(self) -> Iterator[bytes]:
        """Yield the bytes of the file, decompressed where they are gzip, whatever the name says."""
        try:
            with _DigestedFile(self.path) as file, io.BufferedReader(file) as stream:
                is_gzip = stream.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC)
                unpacked = gzip.GzipFile(fileobj=stream, mode="rb") if is_gzip else stream
                self.traits |= {DialectTrait.GZIP} if is_gzip else set()
                yield from self._within_bounds(iter(lambda: unpacked.read(BLOCK_BYTES), b""), is_gzip=is_gzip)
                if file.digest.hexdigest() != self.sha256:
                    raise FileRefused(FileFault.CHANGED, "it was replaced or written while it was read")
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            found = f"the compressed file is cut off or damaged: {error}"
            raise FileRefused(FileFault.UNREADABLE_GZIP, found) from None
        except OSError as error:
            raise _unreadable(error) from None

    def _within_bounds(self, chunks: Iterable[bytes], *, is_gzip: bool) -> Iterator[bytes]:
        """Yield the content as long as it is not more than such a file may hold."""
        total = 0
        for chunk in chunks:
            total += len(chunk)
            if total > self._max_text_mb * (1 << 20):
                raise FileRefused(
                    FileFault.TOO_LARGE, f"it holds more than {self._max_text_mb:g} MB of text (refinery.max_text_mb)"
                )
            if is_gzip and total > max(MAX_RATIO * self.bytes, _UNASKED_BYTES):
                raise FileRefused(
                    FileFault.TOO_LARGE,
                    f"{self.bytes:,} compressed bytes hold over {MAX_RATIO} times as much: {total >> 20:,} MB and more",
                )
            yield chunk


def _unreadable(error: OSError) -> FileRefused:
    return FileRefused(FileFault.UNREADABLE, f"it cannot be read: {error.strerror or error}")
