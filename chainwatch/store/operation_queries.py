"""What is asked of the log of intents that takes more than a line of SQL.

A step that makes a machine counts from its intent on, one that ends it once it was seen to; what is
said of (key, nonce) is said of one machine.
"""

from collections.abc import Iterable

from provisioner.oplog import AFTERWARDS, POWERED, STILL_DONE, SWITCHING_OFF

OPEN = (
    "SELECT key, id, step, vmid, node, nonce, upid, started FROM operation WHERE finished IS NULL"
)

OCCUPIED = """
SELECT DISTINCT made.vmid FROM operation AS made
WHERE made.step IN ('clone', 'restore', 'adopt') AND made.outcome IS NOT 'failed'
AND NOT EXISTS (
    SELECT 1 FROM operation AS ended
    WHERE ended.vmid = made.vmid AND ended.step IN ('destroy', 'gone') AND ended.outcome = 'ok'
    AND ended.id > made.id
)
AND NOT EXISTS (
    SELECT 1 FROM operation AS moved
    WHERE moved.key = made.key AND moved.nonce = made.nonce
    AND moved.step IN ('clone', 'restore', 'adopt') AND moved.vmid <> made.vmid
    AND moved.id > made.id
)
"""

#: The last of its clone, adoption and end counts, as in `place`.
STANDING = """
SELECT key, nonce, vmid, node FROM operation
WHERE id IN (
    SELECT max(id) FROM operation
    WHERE step IN ('clone', 'restore', 'adopt') OR step IN ('destroy', 'gone') AND outcome = 'ok'
    GROUP BY key, nonce
)
AND step IN ('clone', 'restore', 'adopt') AND outcome = 'ok'
"""


def _quoted(steps: Iterable[str]) -> str:
    return ", ".join(f"'{step}'" for step in steps)


#: The last that made (key, nonce), and whether it was configured and started since.
BIRTH = f"""
SELECT step, node, upid, outcome, started, EXISTS (
    SELECT 1 FROM operation AS later
    WHERE later.key = made.key AND later.nonce = made.nonce AND later.id > made.id
    AND later.outcome = 'ok' AND later.step IN ({_quoted(AFTERWARDS)})
) AS configured, EXISTS (
    SELECT 1 FROM operation AS later
    WHERE later.key = made.key AND later.nonce = made.nonce AND later.id > made.id
    AND later.outcome = 'ok' AND later.step = 'start'
) AS was_started
FROM operation AS made
WHERE key = ? AND nonce = ? AND step IN ('clone', 'restore', 'adopt') ORDER BY id DESC LIMIT 1
"""  # noqa: S608 - steps are words of ours

#: The last that made (key, nonce) or ended it and did not fail, and if it was tried again.
INTENDED = """
SELECT vmid, outcome, started, EXISTS (
    SELECT 1 FROM operation AS later
    WHERE later.key = told.key AND later.nonce = told.nonce AND later.id > told.id
    AND later.step IN ('clone', 'restore', 'adopt')
) AS tried_again
FROM operation AS told
WHERE key = ? AND nonce = ? AND (
    (step IN ('clone', 'restore', 'adopt') AND outcome IS NOT 'failed')
    OR (step IN ('destroy', 'gone') AND outcome = 'ok')
) ORDER BY id DESC LIMIT 1
"""

#: What switches (key, nonce) off and was given up, unless that was long before the last start.
GIVEN_UP = f"""
SELECT id, step, vmid, node, nonce, upid, started FROM operation AS lost
WHERE key = ? AND nonce = ? AND step IN ({_quoted(SWITCHING_OFF)})
AND outcome = 'lost' AND upid IS NULL AND NOT EXISTS (
    SELECT 1 FROM operation AS later
    WHERE later.key = lost.key AND later.nonce = lost.nonce AND later.step = 'start'
    AND later.outcome = 'ok' AND later.started > lost.started + {STILL_DONE}
)
ORDER BY id
"""  # noqa: S608 - steps are words of ours

#: The last that says whether an order left (key, nonce) off.
SWITCHED = f"""
SELECT step, finished FROM operation
WHERE key = ? AND nonce = ? AND step IN ({_quoted(POWERED)}) AND outcome = 'ok'
ORDER BY id DESC LIMIT 1
"""  # noqa: S608 - steps are words of ours
