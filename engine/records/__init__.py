"""What the switch remembers: calls, their segments, agents' days, recordings. The only room that imports sqlalchemy.

Records go in through writer.py, come out through search.py; the tables are models.py, their history migrations/.
"""
