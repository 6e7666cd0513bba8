"""What staff.yaml and the plans both say: skills asked for, announcements, and names that must exist."""

from collections.abc import Collection, Iterable

from engine.callflow.settings import SoundFiles
from engine.callflow.steps import Announce, Need, Needs
from engine.config import scalars
from engine.config.yaml_nodes import Value, guess


def known(value: Value, names: Collection[str] | None, kind: str, where: str) -> str:
    """A name that must be among `names`; None where these could not be read, which has been told already."""
    text = value.text()
    if text and names is not None and text not in names:
        value.complain(f'{kind} "{text}" is not in {where}{guess(text, names)}')
    return text


def read_needs(value: Value, skills: Collection[str] | None) -> Needs:
    """`english`, `{english: 50, mandarin: 20}` (all of these), a list of such (any of them); `{}` asks for nothing."""
    if value.is_mapping and not value.node.value:
        return ()
    terms = [_term(item, skills) for item in value.items()]
    return tuple(term for term in terms if term)


def _term(value: Value, skills: Collection[str] | None) -> tuple[Need, ...]:
    if value.is_scalar:
        skill = known(value, skills, "skill", "staff.yaml")
        return ((skill, 1),) if skill else ()
    return tuple(read_levels(value, skills).items())


def read_levels(value: Value, skills: Collection[str] | None, instead: int = 1) -> dict[str, int]:
    """`{mandarin: 90, english: 40}`: levels from 1 to 100; `instead` stands in for a wrong one."""
    return {
        known(key, skills, "skill", "staff.yaml"): scalars.count(level, 1, 100, instead) for key, level in value.pairs()
    }


def read_prompts(value: Value, sounds: SoundFiles | None, languages: Iterable[str]) -> tuple[str, ...]:
    """One prompt or a list of them, each spoken in all of `languages`."""
    names = []
    for item in value.items():
        name = known(item, None if sounds is None else sounds.prompts, "prompt", "prompts/manifest.yaml")
        for language in languages:
            if sounds and language not in sounds.prompts.get(name, {language}):
                item.complain(f'prompt "{name}" has no words in language "{language}"')
        names.append(name)
    if not names and value.is_list:
        value.complain(f"{value.label} is empty")
    return tuple(names)


def read_music(value: Value, sounds: SoundFiles | None) -> str:
    return known(value, None if sounds is None else sounds.music, "music", "prompts/manifest.yaml")


def read_announce(value: Value, sounds: SoundFiles | None, languages: Iterable[str]) -> Announce:
    """`{play: please_wait, first: 20s, every: 30s}`."""
    with value.section() as section:
        play, first, every = section.need("play"), section.get("first"), section.need("every")
        return Announce(
            read_prompts(play, sounds, languages) if play else (),
            scalars.duration(first) if first else 0.0,
            scalars.duration(every, 5.0) if every else 5.0,
        )
