"""The command line `agner`. main.py is the front; the others hold its commands, each read when used."""
