"""Prompts and music as samples. Counterparts: config reads which files there are, media.py plays them.

All is read, resampled once to the bridge's rate and checked when the switch starts, with every complaint in one run;
nothing is decoded while calls are up.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from engine.callflow import say
from engine.callflow.errors import MediaError
from engine.callflow.settings import SoundFiles

MAX_S = 600.0  # a longer file is a mistake, and would be held in memory
FADE_S = 0.003

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Sounds:
    """Mono 16-bit samples at one rate: prompts and parts of speech by (language, name), music by name."""

    rate: int
    prompts: Mapping[tuple[str, str], Samples]
    music: Mapping[str, Samples]


def load(files: SoundFiles, rate: int) -> Sounds:
    """Every prompt and part in every language and all music, at `rate` Hz. MediaError with all that is wrong, a line
    each."""
    complaints: list[str] = []

    def read(path: Path) -> Samples:
        try:
            return read_sound(path, rate)
        except MediaError as error:
            complaints.append(str(error))
            return np.zeros(1, np.int16)

    prompts = {
        (language, name): faded(read(path), rate)
        for name, spoken in files.prompts.items()
        for language, path in spoken.items()
    }
    for language, parts in files.parts.items():
        prompts |= {(language, name): faded(read(path), rate) for name, path in parts.items()}
        prompts[language, say.PREFIX + say.PAUSE] = np.zeros(int(say.PAUSE_S * rate), np.int16)
    sounds = Sounds(rate, prompts, {name: read(path) for name, path in files.music.items()})
    if complaints:
        raise MediaError("\n".join(complaints))
    return sounds


def read_sound(path: Path, rate: int) -> Samples:
    """One file of any format libsndfile reads, mixed to mono, at `rate` Hz. MediaError if it is missing, unreadable,
    empty, silent or longer than MAX_S."""
    if not path.is_file():
        raise MediaError(f"{path}: there is no such file")
    try:
        with soundfile.SoundFile(path) as file:
            if file.frames > MAX_S * file.samplerate:
                raise MediaError(f"{path}: longer than {MAX_S:.0f} s")
            samples = file.read(dtype="float32", always_2d=True).mean(axis=1)
            from_rate = file.samplerate
    except soundfile.LibsndfileError as error:
        raise MediaError(f"{path}: not a sound file that can be read ({error.error_string})") from error
    if len(samples) == 0 or not np.any(samples):
        raise MediaError(f"{path}: there is nothing to hear in it")
    if from_rate != rate:
        samples = soxr.resample(samples, from_rate, rate)
    return np.ascontiguousarray(np.clip(samples * 32767, -32768, 32767).round().astype(np.int16))


def faded(samples: Samples, rate: int) -> Samples:
    """A recording that starts or ends abruptly must not click when it is laid over music."""
    n = min(int(FADE_S * rate), len(samples) // 2)
    ramp = np.linspace(0, 1, n, endpoint=False)
    result = samples.astype(np.float64)
    result[:n] *= ramp
    result[len(result) - n :] *= ramp[::-1]
    return result.astype(np.int16)
