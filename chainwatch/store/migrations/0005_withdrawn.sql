-- An order may end by being withdrawn before it has begun. A CHECK cannot be changed, so the table is
-- made anew; its columns mean what they did.
CREATE TABLE wish_anew (
    number   INTEGER PRIMARY KEY,
    lease    TEXT NOT NULL,
    nonce    TEXT NOT NULL,
    verb     TEXT NOT NULL CHECK (
        verb IN ('start', 'stop', 'kill', 'reboot', 'snapshot', 'rollback', 'reinstall')
    ),
    name     TEXT NOT NULL,
    uid      INTEGER,
    reason   TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    done_at  INTEGER,
    outcome  TEXT CHECK (outcome IN ('done', 'refused', 'withdrawn')),
    said     TEXT,
    CHECK ((done_at IS NULL) = (outcome IS NULL)),
    CHECK ((said IS NULL) = (outcome IS NULL))
) STRICT;
INSERT INTO wish_anew SELECT number, lease, nonce, verb, name, uid, reason, asked_at, done_at, outcome, said
FROM wish;
DROP TABLE wish;
ALTER TABLE wish_anew RENAME TO wish;
CREATE INDEX wish_open ON wish (lease) WHERE done_at IS NULL;
CREATE INDEX wish_of_lease ON wish (lease, number);
