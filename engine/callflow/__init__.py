"""The sans-I/O floor: what a call is and what may happen to it. Standard library only; time is an argument."""
