"""What a run left on disk: is every record there and closed, every recording there and sound, every assignment right?

Counterpart: load.py.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import soundfile

from engine.audit import audit

READABLE = (".wav", ".flac")


def check_records(folder: Path, n_calls: int) -> dict[str, Any]:
    """The CDRs in the daemon's database; `n_calls` were answered, and each has exactly one."""
    with closing(sqlite3.connect(f"file:{folder}/agner.db?mode=ro", uri=True)) as database:
        dispositions = dict(database.execute("select coalesce(disposition, 'open'), count(*) from calls group by 1"))
        (n_overruns, lost_s) = database.execute(
            "select coalesce(sum(n_overruns), 0), coalesce(sum(lost_s), 0) from recordings"
        ).fetchone()
    n_cdrs = sum(dispositions.values())
    return {
        "cdrs": n_cdrs,
        "missing": max(0, n_calls - n_cdrs),
        "surplus": max(0, n_cdrs - n_calls),
        "open": dispositions.get("open", 0),
        "dispositions": dispositions,
        "recording_overruns": n_overruns,
        "recording_lost_s": round(lost_s, 3),
    }


def check_assignments(folder: Path) -> list[str]:
    """What the auditor finds in the daemon's trace: it knows the rules, not the core. Nothing: []."""
    return audit(folder / "var" / "trace")


def check_recordings(folder: Path, n_talks: int) -> dict[str, Any]:
    """Every sound file under `folder`/recordings. Expected are `n_talks` at least, one a conversation."""
    n_files = n_unreadable = n_mono = size = 0
    seconds = []
    for path in sorted((folder / "recordings").rglob("*")):
        if path.suffix not in READABLE:
            continue
        n_files += 1
        size += path.stat().st_size
        try:
            info = soundfile.info(path)
        except soundfile.LibsndfileError:
            n_unreadable += 1
            continue
        n_mono += info.channels != 2
        seconds.append(info.duration)
    return {
        "files": n_files,
        "missing": max(0, n_talks - n_files),
        "unreadable": n_unreadable,
        "not_stereo": n_mono,
        "seconds": round(sum(seconds), 1),
        "shortest_s": round(min(seconds, default=0.0), 2),
        "longest_s": round(max(seconds, default=0.0), 2),
        "mb": round(size / 1e6, 1),
    }
