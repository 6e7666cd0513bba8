"""The conductor and what it knows of each call. It alone knows all the rooms, and it is given them.

    conductor.py     rounds, events in, commands out; arrival and end of calls
    admitting.py     whether there is room for a call
    meaning.py       what the news of a room means to a call
    live.py          a call that is not over
    planning.py      the plan: situations, values, steps, errands
    hearing.py       what callers and agents hear, recordings
    serving.py       the queue, agents, called legs
    dialling.py      calls of agents' phones
    sending.py       transfers that agents' phones ask for
    calling_back.py  promises to callers: who is owed a call, and calling them
    boxes.py         voicemail: messages taken and listened to, lamps on phones
"""

from engine.switch.conductor import Switch
from engine.switch.live import CALLER, Live, News, Rooms, Setup, recording_path

__all__ = ["CALLER", "Live", "News", "Rooms", "Setup", "Switch", "recording_path"]
