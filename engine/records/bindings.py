"""Where agents' phones are, on disk: a restart finds them again before they log in the next time. Counterparts:
engine/sip/phones.py, which puts them here; lines.py, which keeps them.
"""

from pathlib import Path
from typing import Any

from engine.records.lines import Lines, read


class Bindings(Lines):
    """For one thread. Nothing raises for a disk."""

    def __init__(self, path: Path) -> None:
        """Raises OSError for a file that cannot be read or opened."""
        self.found: list[dict[str, Any]] = list(read(path))  # what an earlier run left
        super().__init__(path, "where phones are", keep=self.found)
