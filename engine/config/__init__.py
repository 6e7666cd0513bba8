"""The configuration: a folder of YAML files -> Settings, Staff and PlanBook, or every mistake in it with its place.

    switch.yaml     -> settings.py      where the switch listens, its trunks and limits
    staff.yaml      -> staff.py         skills, queues, agents; promises.py: callbacks, whisper, survey
    plans/*.yaml    -> plans.py         what happens when somebody dials; steps.py reads a step, paths.py checks
    the prompts     -> sounds.py        what can be heard

yaml_nodes.py knows YAML and places; scalars.py, needs.py, items.py and calendar.py turn text into values. All of it
happens before a call is taken, or beside the calls when a daemon reloads. difference.py compares two configurations.
Counterpart: the types of engine/callflow, which know nothing of YAML.
"""

from dataclasses import dataclass
from pathlib import Path

from engine.callflow.plan import PlanBook
from engine.callflow.settings import Settings, SoundFiles
from engine.callflow.staff import Staff
from engine.config.plans import read_plans
from engine.config.settings import read_settings
from engine.config.sounds import read_sounds
from engine.config.staff import read_staff
from engine.config.yaml_nodes import Complaint, Complaints, Report

__all__ = ["Complaint", "Complaints", "Configuration", "load"]


@dataclass(frozen=True, slots=True)
class Configuration:
    settings: Settings
    staff: Staff
    book: PlanBook
    sounds: SoundFiles


def load(folder: Path | str) -> Configuration:
    """Read and check all of a configuration. Raises Complaints with everything that is wrong.

    Paths inside it (prompts, recordings, storage) are taken from the directory the program runs in.
    """
    folder, report = Path(folder), Report()
    settings = read_settings(folder / "switch.yaml", report)
    sounds = read_sounds(Path(settings.prompts), report)
    staff = read_staff(folder / "staff.yaml", sounds, report, settings.trunks or None, settings.sip.ringing_within_s)
    book = read_plans(folder / "plans", staff, sounds, report, settings.look_ups, settings.trunks or None)
    if report.found:
        raise Complaints(report.found)
    assert staff is not None and sounds is not None, "what cannot be read is complained of"
    return Configuration(settings, staff, book, sounds)
