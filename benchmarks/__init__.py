"""What Agner costs and carries on the machine at hand: load.py (`make bench`) a whole floor, core.py the ACD."""
