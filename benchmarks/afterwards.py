"""What a run left on disk: is every record closed, every recording sound, every assignment right?

How many there should be, expected() adds from the run's own counts. Counterpart: daemon.py.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import soundfile

from engine.audit import audit

READABLE = (".wav", ".flac")


def check_records(folder: Path) -> dict[str, Any]:
    """The CDRs in the daemon's database, and the gaps in recordings that it knows of."""
    with closing(sqlite3.connect(f"file:{folder}/agner.db?mode=ro", uri=True)) as database:
        dispositions = dict(database.execute("select coalesce(disposition, 'open'), count(*) from calls group by 1"))
        (n_overruns, n_gaps, lost_s) = database.execute(
            "select coalesce(sum(n_overruns), 0), coalesce(sum(lost_s > 0), 0), coalesce(sum(lost_s), 0)"
            " from recordings"
        ).fetchone()
    return {
        "cdrs": sum(dispositions.values()),
        "open": dispositions.get("open", 0),
        "dispositions": dispositions,
        "recording_overruns": n_overruns,
        "recording_gaps": n_gaps,
        "recording_lost_s": round(lost_s, 3),
    }


def check_assignments(folder: Path) -> list[str]:
    """What the auditor finds in the daemon's trace: it knows the rules, not the core. Nothing: []."""
    return audit(folder / "var" / "trace")


def check_recordings(folder: Path) -> dict[str, Any]:
    """Every sound file under `folder`/recordings."""
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
        "unreadable": n_unreadable,
        "not_stereo": n_mono,
        "seconds": round(sum(seconds), 1),
        "shortest_s": round(min(seconds, default=0.0), 2),
        "longest_s": round(max(seconds, default=0.0), 2),
        "mb": round(size / 1e6, 1),
    }


def expected(result: dict[str, Any]) -> None:
    """Adds what is missing: each call that was let in has one CDR, each conversation one recording at least."""
    if records := result.get("records"):
        n_calls = result["n_calls"] - result["n_refused"]
        records |= {"missing": max(0, n_calls - records["cdrs"]), "surplus": max(0, records["cdrs"] - n_calls)}
    if recordings := result.get("recordings"):
        recordings["missing"] = max(0, result["n_talks"] - recordings["files"])
