"""Which room imports what: read from the sources, without running them. The rules are in test_arrows.py."""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# import and cimport lines of Cython sources, which `ast` does not read
CYTHON_IMPORT = re.compile(
    r"^\s*(?:from\s+(?P<source>[\w.]+)\s+c?import\s+(?P<names>.+)|c?import\s+(?P<plain>[\w., ]+))"
)
C_HEADER = re.compile(r'^\s*cdef\s+extern\s+from\s+[<"](?P<header>[\w/.-]+)[>"]')
CYTHON_OWN = {"cython", "cpython", "libc", "libcpp"}


@dataclass(frozen=True)
class Arrow:
    """One import: the module that has it, and what it names (`engine.board`, `yaml`)."""

    module: str
    line: int
    target: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def module_name(file: Path, root: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def arrows_of_python(module: str, text: str) -> Iterator[Arrow]:
    """Every import, also those inside functions and for types only: to name a room is to know it."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import():
                yield from (Arrow(module, node.lineno, alias.name) for alias in node.names)
            case ast.ImportFrom(level=0, module=str(source)):
                yield from _from(module, node.lineno, source, [alias.name for alias in node.names])
            case ast.ImportFrom():
                yield Arrow(module, node.lineno, "a relative import: write the whole name")


def arrows_of_cython(module: str, text: str) -> Iterator[Arrow]:
    for number, line in enumerate(text.splitlines(), 1):
        if header := C_HEADER.match(line):
            yield Arrow(module, number, header["header"])
        elif (found := CYTHON_IMPORT.match(line)) and found["plain"]:
            yield from (Arrow(module, number, name.split(" as ")[0].strip()) for name in found["plain"].split(","))
        elif found:
            names = [name.split(" as ")[0].strip(" ()\\") for name in found["names"].split(",")]
            yield from _from(module, number, found["source"], names)


def is_standard(target: str) -> bool:
    return target.split(".")[0] in sys.stdlib_module_names


def _from(module: str, line: int, source: str, names: list[str]) -> Iterator[Arrow]:
    """`from engine import board` names the room board; `from engine.board import Tile` does too."""
    if source in ("engine", "cli"):
        yield from (Arrow(module, line, f"{source}.{name}") for name in names)
    else:
        yield Arrow(module, line, source)
