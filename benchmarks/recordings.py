"""What the recordings of a run look like afterwards: are they all there, can they be read, how long are they."""

from pathlib import Path
from typing import Any

import soundfile

READABLE = (".wav", ".flac")


def check_recordings(folder: Path, n_expected: int) -> dict[str, Any]:
    """Every sound file under `folder`/recordings. Expected are at least `n_expected`, one a conversation."""
    n_files = n_unreadable = n_mono = 0
    seconds = []
    size = 0
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
        "missing": max(0, n_expected - n_files),
        "unreadable": n_unreadable,
        "not_stereo": n_mono,
        "seconds": round(sum(seconds), 1),
        "shortest_s": round(min(seconds, default=0.0), 2),
        "longest_s": round(max(seconds, default=0.0), 2),
        "mb": round(size / 1e6, 1),
    }
