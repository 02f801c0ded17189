"""One file per step: when it is due (pure), and what it does (one effect, never a wait).

`provisioner.plan` puts the steps in order. A step's effect runs only after the executor has proved
whose machine it is and has recorded the intent.
"""
