"""What staff.yaml and the plans both say: skills asked for, and names that must exist."""

from collections.abc import Collection

from engine.callflow.settings import Trunk
from engine.callflow.steps import Need, Needs
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


def way_out(value: Value, trunks: Collection[Trunk] | None) -> str:
    """A trunk that calls go out over. `trunks`: those of switch.yaml; None where it could not be read."""
    name = known(value, None if trunks is None else [trunk.name for trunk in trunks], "trunk", "switch.yaml")
    for trunk in trunks or ():
        if trunk.name == name and not trunk.destinations:
            value.complain(f'trunk "{name}" has no destinations in switch.yaml, so that nobody can be called over it')
    return name
