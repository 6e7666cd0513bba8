"""The media room: who hears what. The only room that cimports pjmedia.

media.py is its face (the door `Media` of engine/doors.py). C ports do the work per frame; nothing here is entered per
frame.
"""
