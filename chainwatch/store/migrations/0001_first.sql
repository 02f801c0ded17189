-- Numbers that a contract chooses (token and plan ids, amounts, expiries) are uint256 and do not fit
-- SQLite's signed 64 bits: they are 64 hex digits as text, which also sort as numbers do. Times are
-- integer seconds, UTC: block timestamps in chain time, columns ending in _at that say so in wall time.

CREATE TABLE installation (
    one INTEGER PRIMARY KEY CHECK (one = 1), -- so that there is at most one row
    id  TEXT NOT NULL CHECK (id <> '')       -- part of every machine's identity: another id disowns them all
) STRICT;

CREATE TABLE source (
    name        TEXT PRIMARY KEY,
    chain_id    INTEGER NOT NULL CHECK (chain_id > 0),
    contract    TEXT NOT NULL CHECK (length(contract) = 42 AND contract = lower(contract)),
    start_block INTEGER NOT NULL CHECK (start_block >= 0),
    profile     TEXT NOT NULL CHECK (profile <> ''),
    cursor      INTEGER,                    -- the last block whose events are stored: its time is the chain time
    final       INTEGER,                    -- the last finalized block at or below the cursor: never falls
    head        INTEGER NOT NULL DEFAULT 0, -- the highest number a node has shown: for status only
    halted      TEXT CHECK (halted <> ''),  -- why the source stopped for good
    UNIQUE (chain_id, contract),            -- a lease id names exactly one source
    CHECK (final IS NULL OR (cursor IS NOT NULL AND final <= cursor)),
    FOREIGN KEY (name, cursor) REFERENCES block (source, number) DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (name, final) REFERENCES block (source, number) DEFERRABLE INITIALLY DEFERRED
) STRICT;

-- Canonical headers only: the unfinalized window, blocks with events, the last finalized one, the cursor.
CREATE TABLE block (
    source    TEXT NOT NULL REFERENCES source (name),
    number    INTEGER NOT NULL CHECK (number >= 0),
    hash      TEXT NOT NULL,
    parent    TEXT NOT NULL,                -- what a reorg is recognised by
    timestamp INTEGER NOT NULL CHECK (timestamp >= 0),
    PRIMARY KEY (source, number)
) STRICT, WITHOUT ROWID;

-- Append-only: a reorg marks, it never deletes. The key has the block's hash and not its number,
-- because the same log may come back in another block, and a marked block may become canonical again.
CREATE TABLE event (
    id          INTEGER PRIMARY KEY,        -- the order of arrival, for paging
    source      TEXT NOT NULL REFERENCES source (name),
    block       INTEGER NOT NULL CHECK (block >= 0),
    block_hash  TEXT NOT NULL,
    log_index   INTEGER NOT NULL CHECK (log_index >= 0),
    tx_hash     TEXT NOT NULL,              -- the nonce of a machine follows from the mint's
    kind        TEXT NOT NULL,
    token       TEXT CHECK (length(token) = 64),
    plan        TEXT CHECK (length(plan) = 64),
    fields      TEXT NOT NULL CHECK (json_valid(fields)), -- integers as decimal strings
    seen_at     INTEGER NOT NULL,           -- wall time of the commit that first stored it
    orphaned_at INTEGER,                    -- wall time of the rewind that took its block back
    UNIQUE (source, block_hash, log_index),
    CHECK ((token IS NULL) <> (plan IS NULL)) -- it is about a lease or about a plan
) STRICT;
CREATE INDEX event_of_token ON event (source, token, block, log_index) WHERE token IS NOT NULL;
CREATE INDEX event_of_plan ON event (source, plan, block, log_index) WHERE plan IS NOT NULL;
CREATE INDEX event_of_block ON event (source, block);

-- Projections: always equal to the fold of the events that are not orphaned; `verify` proves it.
CREATE TABLE lease (
    id             TEXT PRIMARY KEY,        -- CAIP-19: eip155:CHAIN/erc721:0x…/TOKEN
    source         TEXT NOT NULL REFERENCES source (name),
    token          TEXT NOT NULL CHECK (length(token) = 64),
    owner          TEXT,                    -- NULL: gone, its mint was taken back by a reorg
    nonce          TEXT NOT NULL,           -- of a gone lease the last known, to find its machine by
    generation     INTEGER NOT NULL,
    plan           TEXT CHECK (length(plan) = 64), -- of a gone lease the last known, for its grace
    expires_at     TEXT NOT NULL CHECK (length(expires_at) = 64), -- a contract may say "never" with 2^256-1
    ssh_key        TEXT NOT NULL,
    encryption_key TEXT NOT NULL,
    burnt          INTEGER NOT NULL CHECK (burnt IN (0, 1)),
    wake_at        INTEGER,                 -- chain time at the cursor that makes the key due
    wake_final_at  INTEGER,                 -- chain time at the finalized block that makes the key due
    UNIQUE (token, source)
) STRICT;
CREATE INDEX lease_of_plan ON lease (source, plan);
CREATE INDEX lease_wake ON lease (source, wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX lease_wake_final ON lease (source, wake_final_at) WHERE wake_final_at IS NOT NULL;

CREATE TABLE plan (
    source TEXT NOT NULL REFERENCES source (name),
    id     TEXT NOT NULL CHECK (length(id) = 64),
    fields TEXT NOT NULL CHECK (json_valid(fields)), -- uint64 and uint256 inside, so not columns
    PRIMARY KEY (source, id)
) STRICT, WITHOUT ROWID;

-- Intents: a row exists before the call it speaks of, and is open until its end was observed.
CREATE TABLE operation (
    id       INTEGER PRIMARY KEY AUTOINCREMENT, -- never reused: it orders what happened to a VMID
    key      TEXT NOT NULL,
    nonce    TEXT NOT NULL,
    step     TEXT NOT NULL,
    attempt  INTEGER NOT NULL CHECK (attempt > 0),
    vmid     INTEGER NOT NULL CHECK (vmid > 0),
    node     TEXT NOT NULL,
    upid     TEXT,                          -- NULL with the row open: the reply never came, look for the task
    started  INTEGER NOT NULL,              -- wall time, like finished: for the record and the destroy budget
    finished INTEGER,
    outcome  TEXT CHECK (outcome IN ('ok', 'failed', 'lost')),
    error    TEXT,
    CHECK ((finished IS NULL) = (outcome IS NULL))
) STRICT;
CREATE UNIQUE INDEX operation_open ON operation (key, nonce) WHERE finished IS NULL; -- one effect at a time
CREATE INDEX operation_of_machine ON operation (key, nonce);
CREATE INDEX operation_of_vmid ON operation (vmid, step);
CREATE INDEX operation_of_step ON operation (step, started);

-- Keys, never payloads: whoever takes one reads the world again.
CREATE TABLE work (
    key           TEXT PRIMARY KEY,
    seq           INTEGER NOT NULL,         -- grows with every enqueue: news that came while the key was taken
    not_before    INTEGER NOT NULL,         -- wall time; 0 is at once
    attempts      INTEGER NOT NULL,         -- failures in a row
    reason        TEXT NOT NULL,            -- why it was last enqueued
    last_error    TEXT,
    parked_at     INTEGER,                  -- given up until an operator or the chain speaks
    parked_reason TEXT,
    CHECK ((parked_at IS NULL) = (parked_reason IS NULL))
) STRICT;
CREATE INDEX work_due ON work (not_before) WHERE parked_at IS NULL;

-- Operator truth: who (uid), what, why, when (wall time).
CREATE TABLE hold (
    lease  TEXT NOT NULL,                   -- no reference: a hold outlives a rebuild of what it holds
    kind   TEXT NOT NULL CHECK (kind IN ('hold', 'suspend')),
    reason TEXT NOT NULL CHECK (reason <> ''),
    uid    INTEGER NOT NULL,
    since  INTEGER NOT NULL,
    PRIMARY KEY (lease, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE pause (
    scope  TEXT PRIMARY KEY CHECK (scope IN ('effects', 'destroys')),
    reason TEXT NOT NULL CHECK (reason <> ''),
    uid    INTEGER NOT NULL,
    since  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE alarm (
    name        TEXT NOT NULL,
    subject     TEXT NOT NULL,              -- a lease, a source, a node; '' is the installation itself
    severity    TEXT NOT NULL CHECK (severity IN ('warning', 'critical')),
    text        TEXT NOT NULL CHECK (text <> ''),
    since       INTEGER NOT NULL,           -- of the first time in a row
    last_raised INTEGER NOT NULL,
    PRIMARY KEY (name, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    uid     INTEGER NOT NULL,
    what    TEXT NOT NULL,
    subject TEXT NOT NULL,
    why     TEXT NOT NULL,
    at      INTEGER NOT NULL
) STRICT;
