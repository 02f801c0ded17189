"""One file per verb: what it checks, what it does, and what came of it; nothing is printed here.

Each works through a `Workshop` and knows no terminal. What is refused raises `Declined` with a
sentence; every verb may be run again after it was cut off anywhere.
"""
