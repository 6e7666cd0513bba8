"""The chapters of a call's life: its handlers, named by the table. Each yields commands; none sets a state (law 1)."""
