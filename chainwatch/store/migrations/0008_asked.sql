-- A wish may come from the chain: an owner asked for something. `event` is what he said, by source, transaction,
-- token and place among what that transaction asked of it: the same in whatever block it stands. `block` and
-- `said_at` (chain time) are where it stands now.
CREATE TABLE wish_ (
    number   INTEGER PRIMARY KEY,
    lease    TEXT NOT NULL,
    nonce    TEXT NOT NULL,                 -- of the machine that was meant: another one is not touched for it
    verb     TEXT NOT NULL CHECK (
        verb IN ('start', 'stop', 'kill', 'reboot', 'snapshot', 'rollback', 'reinstall', 'upgrade')
    ),
    name     TEXT NOT NULL,                 -- the snapshot to roll back to, or the plan to upgrade to, else empty
    uid      INTEGER,
    reason   TEXT NOT NULL,
    asked_at INTEGER NOT NULL,              -- wall time, like done_at
    done_at  INTEGER,
    outcome  TEXT CHECK (outcome IN ('done', 'refused', 'withdrawn')),
    said     TEXT,                          -- the sentence that says how it ended
    source   TEXT,
    event    TEXT UNIQUE,
    block    INTEGER,
    said_at  INTEGER,
    CHECK ((done_at IS NULL) = (outcome IS NULL)),
    CHECK ((said IS NULL) = (outcome IS NULL)),
    CHECK ((event IS NULL) = (source IS NULL) AND (event IS NULL) = (block IS NULL)),
    CHECK ((event IS NULL) = (said_at IS NULL))
) STRICT;
INSERT INTO wish_ (number, lease, nonce, verb, name, uid, reason, asked_at, done_at, outcome, said)
    SELECT number, lease, nonce, verb, name, uid, reason, asked_at, done_at, outcome, said FROM wish;
DROP TABLE wish;
ALTER TABLE wish_ RENAME TO wish;
CREATE INDEX wish_open ON wish (lease) WHERE done_at IS NULL;
CREATE INDEX wish_of_lease ON wish (lease, number);
CREATE INDEX wish_asked ON wish (source, block) WHERE done_at IS NULL AND event IS NOT NULL;
