"""Prompts and music as they lie in the prompts folder: its manifest, and every file as samples. Counterpart: media.py
plays them.

All is read, resampled once to the bridge's rate and checked when the switch starts, with every complaint in one run;
nothing is decoded while calls are up. No PJSIP here, so that `agner check` can say what is wrong without it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
import yaml

from engine.callflow.errors import MediaError

LANGUAGES = ("zh", "en")
MAX_S = 600.0  # a longer file is a mistake, and would be held in memory
FADE_S = 0.003

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A name that plans use, the words that are spoken, the files by language."""

    name: str
    words: Mapping[str, str]
    files: Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class Manifest:
    prompts: Mapping[str, Prompt]
    music: Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class Sounds:
    """Mono 16-bit samples at one rate: prompts by (language, name), music by name."""

    rate: int
    prompts: Mapping[tuple[str, str], Samples]
    music: Mapping[str, Samples]


def read_manifest(folder: Path) -> Manifest:
    """The names that plans may use. MediaError, one complaint a line, if the manifest is no manifest."""
    path = folder / "manifest.yaml"
    try:
        with path.open(encoding="utf-8") as file:
            content = yaml.safe_load(file)
    except OSError as error:
        raise MediaError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise MediaError(f"{path}: {error}") from error
    complaints: list[str] = []
    prompts = {
        str(name): _prompt(folder, str(name), entry, lambda text: complaints.append(f"{path}: {text}"))
        for name, entry in _section(content, "prompts").items()
    }
    music = {str(name): folder / str(file) for name, file in _section(content, "music").items()}
    if not prompts:
        complaints.append(f"{path}: it has no prompts")
    if complaints:
        raise MediaError("\n".join(complaints))
    return Manifest(prompts, music)


def _section(content: object, key: str) -> Mapping[object, object]:
    section = content.get(key) if isinstance(content, dict) else None
    return section if isinstance(section, dict) else {}


def _prompt(folder: Path, name: str, entry: object, complain: Callable[[str], None]) -> Prompt:
    fields = entry if isinstance(entry, dict) else {}
    for key in ("file", *LANGUAGES):
        if not isinstance(fields.get(key), str):
            complain(f"prompt {name}: `{key}` is missing")
    file = str(fields.get("file"))
    words = {language: str(fields.get(language)) for language in LANGUAGES}
    return Prompt(name, words, {language: folder / language / file for language in LANGUAGES})


def load(folder: Path, rate: int) -> Sounds:
    """Every prompt in every language and all music, at `rate` Hz. MediaError with all that is wrong, one complaint a
    line."""
    manifest = read_manifest(folder)
    complaints: list[str] = []

    def read(path: Path) -> Samples:
        try:
            return read_sound(path, rate)
        except MediaError as error:
            complaints.append(str(error))
            return np.zeros(1, np.int16)

    sounds = Sounds(
        rate,
        {
            (language, prompt.name): faded(read(path), rate)
            for prompt in manifest.prompts.values()
            for language, path in prompt.files.items()
        },
        {name: read(path) for name, path in manifest.music.items()},
    )
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
