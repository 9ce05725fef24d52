"""Lines of text as people have them: from a file or stdin, plain or gzip, in UTF-8 or UTF-16."""

import codecs
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator


class ReadError(Exception):
    """What cannot be read as lines of text; the message is the reason alone."""


def text_lines(path: str) -> Iterator[bytes]:
    """The lines of a file, ``-`` for stdin, in UTF-8, without their ends and byte order mark.

    What is packed or encoded otherwise is told by its first bytes. Bytes that are no UTF-8
    come through as they are.

    Raises:
        ReadError: no such file, a truncated one, or one that is not text.
    """
    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            if file.peek(2).startswith(b"\x1f\x8b"):
                file = gzip.GzipFile(fileobj=file)
            head = file.peek(2)
            encoding, errors = "utf-8-sig", "surrogateescape"
            if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                encoding, errors = "utf-16", "replace"
            elif b"\0" in head:
                raise ReadError("not text, or UTF-16 without a byte order mark")
            for line in io.TextIOWrapper(file, encoding, errors):  # ends of any system
                yield line.removesuffix("\n").encode("utf-8", errors)
    except OSError as error:
        raise ReadError(error.strerror or str(error)) from None
    except (EOFError, zlib.error) as error:
        raise ReadError(f"truncated or damaged gzip: {error}") from None


def json_entries(lines: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """The JSON of each line that is not blank, or of each entry of a JSON array, with its place.

    >>> list(json_entries([b"", b"{}"])), list(json_entries([b"[{},", b"{}]"]))
    ([('line 2', b'{}')], [('entry 1', b'{}'), ('entry 2', b'{}')])

    Raises:
        ReadError: what begins as a JSON array is none.
    """
    numbered = ((f"line {i}", line) for i, line in enumerate(lines, start=1) if line.strip())
    for place, line in numbered:
        if not line.lstrip().startswith(b"["):
            yield place, line
            break
        try:
            entries = json.loads(b"\n".join([line, *(line for _, line in numbered)]))
        except (ValueError, RecursionError) as error:
            raise ReadError(f"begins as a JSON array and is none: {error}") from None
        for i, entry in enumerate(entries, start=1):
            yield f"entry {i}", json.dumps(entry).encode()
    yield from numbered
