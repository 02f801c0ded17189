-- Tokens, plans and expiries as hex digits after their count (see encoding.py) instead of 64 of them: an
-- index of small numbers is a third as large, and storing a dense chain took twice as long for it. One
-- index holds an event's place in its chain and keeps it from being stored twice: a hash has one number.
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
    UNIQUE (source, block, block_hash, log_index),
    CHECK ((token IS NULL) <> (plan IS NULL)) -- it is about a lease or about a plan
) STRICT;
INSERT INTO event_
    SELECT id, source, block, block_hash, log_index, tx_hash, kind,
        printf('%02x', max(1, length(ltrim(token, '0')))) || substr(token, -max(1, length(ltrim(token, '0')))),
        printf('%02x', max(1, length(ltrim(plan, '0')))) || substr(plan, -max(1, length(ltrim(plan, '0')))),
        fields, seen_at, orphaned_at
    FROM event;
DROP TABLE event;
ALTER TABLE event_ RENAME TO event;
CREATE INDEX event_of_token ON event (source, token, block, log_index) WHERE token IS NOT NULL;
CREATE INDEX event_of_plan ON event (source, plan, block, log_index) WHERE plan IS NOT NULL;

CREATE TABLE lease_ (
    id             TEXT PRIMARY KEY,        -- CAIP-19: eip155:CHAIN/erc721:0x…/TOKEN
    source         TEXT NOT NULL REFERENCES source (name),
    token          TEXT NOT NULL CHECK (length(token) BETWEEN 3 AND 66),
    owner          TEXT,                    -- NULL: gone, its mint was taken back by a reorg
    nonce          TEXT NOT NULL,           -- of a gone lease the last known, to find its machine by
    generation     INTEGER NOT NULL,
    plan           TEXT CHECK (length(plan) BETWEEN 3 AND 66), -- of a gone lease the last known, for its grace
    expires_at     TEXT NOT NULL CHECK (length(expires_at) BETWEEN 3 AND 66), -- a contract may say "never" with 2^256-1
    ssh_key        TEXT NOT NULL,
    encryption_key TEXT NOT NULL,
    burnt          INTEGER NOT NULL CHECK (burnt IN (0, 1)),
    wake_at        INTEGER,                 -- chain time at the cursor that makes the key due
    wake_final_at  INTEGER,                 -- chain time at the finalized block that makes the key due
    UNIQUE (token, source)
) STRICT;
INSERT INTO lease_
    SELECT id, source,
        printf('%02x', max(1, length(ltrim(token, '0')))) || substr(token, -max(1, length(ltrim(token, '0')))),
        owner, nonce, generation,
        printf('%02x', max(1, length(ltrim(plan, '0')))) || substr(plan, -max(1, length(ltrim(plan, '0')))),
        printf('%02x', max(1, length(ltrim(expires_at, '0')))) || substr(expires_at, -max(1, length(ltrim(expires_at, '0')))),
        ssh_key, encryption_key, burnt, wake_at, wake_final_at
    FROM lease;
DROP TABLE lease;
ALTER TABLE lease_ RENAME TO lease;
CREATE INDEX lease_of_plan ON lease (source, plan);
CREATE INDEX lease_wake ON lease (source, wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX lease_wake_final ON lease (source, wake_final_at) WHERE wake_final_at IS NOT NULL;

CREATE TABLE plan_ (
    source TEXT NOT NULL REFERENCES source (name),
    id     TEXT NOT NULL CHECK (length(id) BETWEEN 3 AND 66),
    fields TEXT NOT NULL CHECK (json_valid(fields)), -- uint64 and uint256 inside, so not columns
    PRIMARY KEY (source, id)
) STRICT, WITHOUT ROWID;
INSERT INTO plan_
    SELECT source,
        printf('%02x', max(1, length(ltrim(id, '0')))) || substr(id, -max(1, length(ltrim(id, '0')))),
        fields
    FROM plan;
DROP TABLE plan;
ALTER TABLE plan_ RENAME TO plan;
