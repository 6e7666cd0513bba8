"""Lists of people from CSV and XLSX files: columns found by their headers, lines handed on one by one, bad ones told.

Memory stays bounded, whatever the file's length, but for the keys by which a second line for one number is seen.
Counterparts: cli/customers.py and cli/blacklist.py, which say what a column is and what is done with a line.
"""

import codecs
import csv
import io
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from engine.callflow.numbers import canonical
from engine.records.customers import Counts

LINES_A_BATCH = 2000  # one transaction: some 50 ms, so that a daemon beside it is not held up
BAD_LINES_TOLD = 1000
ENCODINGS = ("utf-8-sig", "gb18030")
CHUNK = 1 << 20
NUMBER = re.compile(r"\+?[0-9]{3,20}")

Names = Mapping[str, Sequence[str]]  # field -> the headers it may have
Key = TypeVar("Key")


class SheetError(Exception):
    """The file as a whole cannot be read. The text is for the operator."""


class BadCell(Exception):
    """What is wrong with a line, and in which field."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(why)
        self.field = field


@dataclass(frozen=True, slots=True)
class BadLine:
    line: int
    column: str  # its header
    why: str


@dataclass(slots=True)
class Outcome:
    """What came of a file. Of the bad lines the first thousand are kept."""

    counts: Counts = field(default_factory=Counts)
    n_bad: int = 0
    bad: list[BadLine] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)  # headers that mean nothing here


class _Lines(Protocol):
    """A file as numbered lines of cells, and how far the reading is in units of `total`."""

    total: int | None

    def __iter__(self) -> Iterator[tuple[int, list[str]]]: ...
    def done(self) -> int: ...


class Sheet:
    """One file. `names` says which headers mean which field; the first line that is not empty is the header."""

    def __init__(self, path: Path, names: Names, required: str = "number") -> None:
        """Raises SheetError for a file that is no table, or has not the required column."""
        self._files = ExitStack()
        try:
            kind: Callable[[Path, ExitStack], _Lines] = _Xlsx if path.suffix.lower() == ".xlsx" else _Csv
            self._lines = kind(path, self._files)
            self._rows = iter(self._lines)
            header = next((cells for _, cells in self._rows if any(cells)), None)
            if header is None:
                raise SheetError(f"{path}: it is empty")
            self._read_header(path, header, names, required)
        except (OSError, csv.Error) as error:
            self.close()
            raise SheetError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
        except SheetError:
            self.close()
            raise

    @property
    def total(self) -> int | None:
        return self._lines.total

    @property
    def done(self) -> int:
        return self._lines.done()

    def __iter__(self) -> Iterator[tuple[int, dict[str, str] | BadLine]]:
        """Line number and its fields; empty lines are left out."""
        while True:
            try:
                line, cells = next(self._rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield getattr(self._lines, "line", 0), BadLine(getattr(self._lines, "line", 0), "", str(error))
                continue
            if not any(cells):
                continue
            if any(cells[self._width :]):
                yield line, BadLine(line, "", f"it has {len(cells)} cells, the header {self._width}")
                continue
            yield line, {name: cells[at] if at < len(cells) else "" for name, at in self._at.items()}

    def column(self, name: str) -> str:
        """The header over a field, for complaints."""
        return self._headers.get(name, name)

    def close(self) -> None:
        self._files.close()

    def _read_header(self, path: Path, header: list[str], names: Names, required: str) -> None:
        field_of = {_plain(alias): name for name, aliases in names.items() for alias in (name, *aliases)}
        self._width = len(header)
        self._at: dict[str, int] = {}
        self._headers: dict[str, str] = {}
        self.ignored: list[str] = []
        for at, text in enumerate(header):
            name = field_of.get(_plain(text))
            if name is None:
                self.ignored += [text] if text else []
            elif name in self._at:
                raise SheetError(f"{path}: two columns are the {name}: {self._headers[name]!r} and {text!r}")
            else:
                self._at[name], self._headers[name] = at, text
        if required not in self._at:
            known = ", ".join(names[required])
            raise SheetError(f"{path}: the first line names no column for the {required} ({known})")


def load(
    sheet: Sheet,
    parse: Callable[[dict[str, str]], tuple[Key, Any]],
    put: Callable[[list[Any]], Counts],
    on_bad: Callable[[BadLine], None] = lambda bad: None,
) -> Outcome:
    """Put every good line, in batches, with a progress bar on a terminal. `parse` gives a key that must come once in
    the file, and what `put` takes; it raises BadCell."""
    outcome, seen, batch = Outcome(ignored=sheet.ignored), set[Key](), list[Any]()

    def complain(bad: BadLine) -> None:
        outcome.n_bad += 1
        if len(outcome.bad) < BAD_LINES_TOLD:
            outcome.bad.append(bad)
        on_bad(bad)

    def flush() -> None:
        if batch:
            done = put(batch)
            outcome.counts.n_new += done.n_new
            outcome.counts.n_updated += done.n_updated
            outcome.counts.n_unchanged += done.n_unchanged
            batch.clear()

    with _progress() as progress:
        bar = progress.add_task("", total=sheet.total)
        for line, values in sheet:
            if isinstance(values, BadLine):
                complain(values)
                continue
            try:
                key, parsed = parse(values)
                if key in seen:
                    raise BadCell("number", "an earlier line has the same number; that one stands")
            except BadCell as error:
                complain(BadLine(line, sheet.column(error.field), str(error)))
                continue
            seen.add(key)
            batch.append(parsed)
            if len(batch) >= LINES_A_BATCH:
                flush()
                progress.update(bar, completed=sheet.done)
        flush()
        progress.update(bar, completed=sheet.total or sheet.done)
    return outcome


def read_number(text: str) -> str:
    """The canonical form. Raises BadCell."""
    if not text:
        raise BadCell("number", "no number")
    if re.fullmatch(r"\d(\.\d+)?[eE]\+?\d+", text):
        raise BadCell("number", f"{text} has lost its last digits; make the column text in the spreadsheet")
    number = canonical(text)
    if not NUMBER.fullmatch(number):
        raise BadCell("number", f"{text!r} is not a telephone number")
    return number


def _progress() -> Progress:
    screen = Console(stderr=True)
    parts = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn())
    return Progress(*parts, console=screen, transient=True, disable=not screen.is_terminal)


def _plain(header: str) -> str:
    return re.sub(r"[\s_\-*:：]+", "", header).casefold()


class _Csv:
    """Comma, semicolon or tab, in UTF-8 or GB18030: the first that fits the whole file."""

    def __init__(self, path: Path, files: ExitStack) -> None:
        encoding = _encoding(path)
        self._raw: IO[bytes] = files.enter_context(path.open("rb"))
        self.total: int | None = path.stat().st_size
        text = io.TextIOWrapper(self._raw, encoding=encoding, newline="")
        first = text.readline()
        text.seek(0)
        delimiter = max(",;\t", key=first.count)
        self._reader = csv.reader(text, delimiter=delimiter)

    @property
    def line(self) -> int:
        return self._reader.line_num

    def done(self) -> int:
        return self._raw.tell()

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        return self

    def __next__(self) -> tuple[int, list[str]]:
        cells = next(self._reader)
        return self._reader.line_num, [cell.strip() for cell in cells]


class _Xlsx:
    """The first sheet of a workbook, read row by row."""

    def __init__(self, path: Path, files: ExitStack) -> None:
        from openpyxl import load_workbook  # half a second that only those wait for who need it

        try:
            book = load_workbook(path, read_only=True, data_only=True)
        except (BadZipFile, KeyError, ValueError) as error:
            raise SheetError(f"{path}: not an XLSX workbook ({error})") from None
        files.callback(book.close)
        if not book.worksheets:
            raise SheetError(f"{path}: it has no sheet")
        sheet = book.worksheets[0]
        self.total: int | None = sheet.max_row
        sheet.reset_dimensions()  # some programs write a wrong size, and rows beyond it were left out
        self._rows = sheet.iter_rows(values_only=True)
        self._line = 0

    def done(self) -> int:
        return self._line

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        try:
            for row in self._rows:
                self._line += 1
                yield self._line, [_text(value) for value in row]
        except (BadZipFile, ParseError, zlib.error) as error:
            raise SheetError(f"row {self._line + 1} cannot be read: {error}") from None


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value).strip()


def _encoding(path: Path) -> str:
    for encoding in ENCODINGS:
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            with path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            continue
        return encoding
    raise SheetError(f"{path}: neither UTF-8 nor GB18030 text; save it as CSV in UTF-8, or as XLSX")
