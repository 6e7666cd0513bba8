"""prompts/manifest.yaml -> SoundFiles: prompts, the parts that values are spoken from, tones, music.

Counterparts: engine/media/sounds.py, which reads the files; prompts/make_prompts.py, which makes the shipped ones.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from engine.callflow import say
from engine.callflow.settings import SoundFiles
from engine.config import scalars
from engine.config.yaml_nodes import Report, Section, Value, guess, is_file, read_yaml

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".au")  # of parts; other files in their folder are not looked at


def read_sounds(folder: Path, report: Report) -> SoundFiles | None:
    """The prompts folder's manifest; each file it names must be there. None if it cannot be read."""
    value = read_yaml(folder / "manifest.yaml", report, "no prompt is described")
    prompts: dict[str, Mapping[str, Path]] = {}
    if value is None:
        return None
    with value.section() as top:
        top.need("prompts")
        for key, item in _pairs(top, "prompts"):
            prompts[scalars.name(key)] = _prompt(key.text(), item, folder)
        parts = {key.text(): _parts(key, item, folder) for key, item in _pairs(top, "say")}
        languages = sorted({language for spoken in prompts.values() for language in spoken})
        for key, item in _pairs(top, "tones"):
            if key.text() in prompts:
                key.complain(f'"{key.text()}" is a prompt too')
            prompts[scalars.name(key)] = dict.fromkeys(languages, _file(item, folder / item.text()))
        music = {scalars.name(key): _file(item, folder / item.text()) for key, item in _pairs(top, "music")}
    return SoundFiles(prompts, music, parts)


def _pairs(top: Section, name: str) -> list[tuple[Value, Value]]:
    return listed.pairs() if (listed := top.get(name)) else []


def _prompt(name: str, value: Value, folder: Path) -> Mapping[str, Path]:
    pairs = {key.text(): (key, item) for key, item in value.pairs()}
    given = pairs.pop("file", (None, None))[1]
    file = given.text() if given else f"{name}.wav"
    return {language: _file(given or key, folder / language / file) for language, (key, _) in sorted(pairs.items())}


def _file(value: Value, path: Path) -> Path:
    if value.text() and not is_file(path):
        value.complain(f"{path} is missing")
    return path


def _parts(key: Value, value: Value, folder: Path) -> Mapping[str, Path]:
    """A file for every part of the language's grammar, named as the part is."""
    language, place = key.text(), folder / value.text()
    if language not in say.GRAMMARS:
        key.complain(f"no grammar is known of language {language!r} (one of: {', '.join(say.GRAMMARS)})")
        return {}
    wanted = say.recorded(language)
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(place.iterdir()) if place.is_dir() else ():
        if path.suffix.lower() in SUFFIXES:
            found[path.stem].append(path)
    for part, paths in found.items():
        if part not in wanted:
            value.complain(f"{paths[0]} is no part that {language!r} is spoken from{guess(part, wanted)}")
        elif len(paths) > 1:
            value.complain(f"{' and '.join(map(str, paths))} are the same part")
    if missing := sorted(wanted - set(found)):
        few = ", ".join(missing[:3]) + (" ..." if len(missing) > 3 else "")
        value.complain(f"{place} lacks {len(missing)} of {len(wanted)} parts that {language!r} is spoken from: {few}")
    return {say.PREFIX + part: paths[0] for part, paths in found.items()}
