"""The SIP door: the only room that imports pjsua2. Legs in, events out; endpoint.py is the way in."""
