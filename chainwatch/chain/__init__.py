"""Reading chains: what a contract said, and whether the chain still says so.

Importing web3 raises the interpreter's recursion limit a hundredfold (a library of elliptic curves
beneath it does that). With the C stack that a process has, deeply nested JSON from anybody then
ends it with a segmentation fault instead of a `RecursionError`, so the limit is put back right
here, where web3 enters the daemon.
"""

import sys

import web3  # noqa: F401 - imported for its side effect, which the next line undoes

sys.setrecursionlimit(1000)
