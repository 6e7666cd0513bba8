"""The ACD as the engine knows it: names in, events out; nothing is decided here. Counterpart: acd_core.pyi."""

from engine.acd.book import place_of
from engine.acd.face import Acd
from engine.acd.floor import NoRoom, UnknownName
from engine.acd.telling import Followed, Tell

__all__ = ["Acd", "Followed", "NoRoom", "Tell", "UnknownName", "place_of"]
