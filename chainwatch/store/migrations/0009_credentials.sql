-- Who owns a lease may be said by the tokens of a second contract, its credentials. Which lease such a token is of is
-- found when an event is stored, so an event may be about no lease: of a credential that is linked with none.
ALTER TABLE source ADD COLUMN credential TEXT NOT NULL DEFAULT '' CHECK (credential = lower(credential));

CREATE TABLE event_ (
    id          INTEGER PRIMARY KEY,        -- the order of arrival, for paging
    source      TEXT NOT NULL REFERENCES source (name),
    block       INTEGER NOT NULL CHECK (block >= 0),
    block_hash  TEXT NOT NULL,
    log_index   INTEGER NOT NULL CHECK (log_index >= 0),
    tx_hash     TEXT NOT NULL,              -- the nonce of a machine follows from the mint's
    kind        TEXT NOT NULL,
    token       TEXT CHECK (length(token) BETWEEN 3 AND 66),
    plan        TEXT CHECK (length(plan) BETWEEN 3 AND 66),
    fields      TEXT NOT NULL CHECK (json_valid(fields)), -- integers as decimal strings
    seen_at     INTEGER NOT NULL,           -- wall time of the commit that first stored it
    orphaned_at INTEGER,                    -- wall time of the rewind that took its block back
    credential  TEXT CHECK (length(credential) BETWEEN 3 AND 66),
    UNIQUE (source, block, block_hash, log_index),
    CHECK (token IS NULL OR plan IS NULL),  -- it is about a lease or about a plan
    CHECK (token IS NOT NULL OR plan IS NOT NULL OR credential IS NOT NULL)
) STRICT;
INSERT INTO event_
    SELECT id, source, block, block_hash, log_index, tx_hash, kind, token, plan, fields, seen_at, orphaned_at, NULL
    FROM event;
DROP TABLE event;
ALTER TABLE event_ RENAME TO event;
CREATE INDEX event_of_token ON event (source, token, block, log_index) WHERE token IS NOT NULL;
CREATE INDEX event_of_plan ON event (source, plan, block, log_index) WHERE plan IS NOT NULL;
CREATE INDEX event_of_credential ON event (source, credential) WHERE credential IS NOT NULL;
