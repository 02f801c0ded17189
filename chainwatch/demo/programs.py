"""`chainwatch` and `chainwatch-lease`, loaded once and forked for every command that is typed.

Each loads for a second, which a story that types a dozen commands would spend on nothing else. So
one process loads both and forks: every command has arguments, environment and outputs of its own,
and ends as the installed program does. Standard input has a JSON object a line (`words`,
`environ`), standard output one for each in turn (`code`, `out`, `err`). A command that runs is
killed by the kernel when this process is.
"""

import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from tempfile import TemporaryFile
from typing import IO, Final

from chainwatch.cli import buyer, main

_PROGRAMS: Final[Mapping[str, Callable[[], None]]] = {
    "chainwatch": main.main,
    "chainwatch-lease": buyer.main,
}
_SET_PARENT_DEATH_SIGNAL: Final = 1
#: What a program that ended by an error of its own is said to have ended with.
_BROKEN: Final = 70


def serve() -> None:
    """Run what is typed, one at a time, until standard input ends."""
    for line in sys.stdin:
        typed = json.loads(line)
        sys.stdout.write(json.dumps(_run(typed["words"], typed["environ"])) + "\n")
        sys.stdout.flush()


def _run(words: list[str], environ: dict[str, str]) -> dict[str, str | int]:
    with TemporaryFile() as out, TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            _become(words, environ, out, err)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        return {"code": code, "out": _all(out), "err": _all(err)}


def _become(words: list[str], environ: dict[str, str], out: IO[bytes], err: IO[bytes]) -> None:
    """Be the program that `words` begins with, to its end."""
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    os.environ.clear()
    os.environ.update(environ)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a descriptor is wanted, not a path
        for number, file in enumerate((nothing, out, err)):
            os.dup2(file.fileno(), number)
    sys.argv = words
    code = 0
    try:
        _PROGRAMS[words[0]]()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # noqa: BLE001 - whatever it is, this copy of the process ends here
        traceback.print_exc()
        code = _BROKEN
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _all(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


if __name__ == "__main__":
    serve()
