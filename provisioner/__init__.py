"""Machines on a hypervisor, knowing nothing of chains: a library and a command line of its own.

The version below is the whole distribution's: `chainwatch` is released together with it.
"""

__version__ = "0.1.0"
