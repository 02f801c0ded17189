-- What is wanted of one machine, once: by an operator's order (uid), or by what a chain said (NULL). It
-- is open until it was done or refused. The number is when it was asked for, or the next one that is
-- free: it grows for ever, also over a database that was made again, because machines are stamped with
-- the last number that was done to them.
CREATE TABLE wish (
    number   INTEGER PRIMARY KEY,
    lease    TEXT NOT NULL,
    nonce    TEXT NOT NULL,                 -- of the machine that was meant: another one is not touched for it
    verb     TEXT NOT NULL CHECK (
        verb IN ('start', 'stop', 'kill', 'reboot', 'snapshot', 'rollback', 'reinstall')
    ),
    name     TEXT NOT NULL,                 -- the snapshot to roll back to, else empty
    uid      INTEGER,
    reason   TEXT NOT NULL,
    asked_at INTEGER NOT NULL,              -- wall time, like done_at
    done_at  INTEGER,
    outcome  TEXT CHECK (outcome IN ('done', 'refused')),
    said     TEXT,                          -- the sentence that says how it ended
    CHECK ((done_at IS NULL) = (outcome IS NULL)),
    CHECK ((said IS NULL) = (outcome IS NULL))
) STRICT;
CREATE INDEX wish_open ON wish (lease) WHERE done_at IS NULL;
CREATE INDEX wish_of_lease ON wish (lease, number);

-- The order because of which a step was taken, where it was.
ALTER TABLE operation ADD COLUMN wish INTEGER;
CREATE INDEX operation_of_wish ON operation (wish) WHERE wish IS NOT NULL;
CREATE INDEX operation_of_task ON operation (upid) WHERE upid IS NOT NULL;
