"""The engine of Agner: SIP in, decisions, SIP out. Start reading at switch.py; docs/architecture.md has the map."""
