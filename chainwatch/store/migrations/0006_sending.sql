-- What the daemon wants done on a chain, once for each cause. A row is written with what caused it,
-- and binds a nonce of our key from the moment that something is signed for it until what used that
-- nonce is final: so of all that was signed for it, a chain takes one transaction.
CREATE TABLE sending (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    source     TEXT NOT NULL REFERENCES source (name),
    kind       TEXT NOT NULL CHECK (kind <> ''),
    lease      TEXT NOT NULL,
    cause      TEXT NOT NULL CHECK (cause <> ''),
    target     TEXT NOT NULL CHECK (length(target) = 42 AND target = lower(target)),
    data       TEXT NOT NULL CHECK (substr(data, 1, 2) = '0x'),
    value      TEXT NOT NULL CHECK (length(value) BETWEEN 3 AND 66), -- wei, as encoding.py writes numbers
    chain_id   INTEGER NOT NULL CHECK (chain_id > 0),
    wanted_at  INTEGER NOT NULL,            -- wall time, like not_before and done_at
    state      TEXT NOT NULL DEFAULT 'wanted' CHECK (
        state IN ('wanted', 'signed', 'broadcast', 'mined', 'final', 'failed')
    ),
    signer     TEXT,                        -- the address whose nonce it binds
    nonce      INTEGER CHECK (nonce >= 0),
    block      INTEGER,                     -- where one of its transactions was seen last
    block_hash TEXT,
    reverts    INTEGER NOT NULL DEFAULT 0,  -- what was mined for it, and reverted, for good
    why        TEXT,                        -- what it waits for, or how it ended
    not_before INTEGER NOT NULL DEFAULT 0,
    done_at    INTEGER,
    UNIQUE (source, kind, lease, cause),
    CHECK ((signer IS NULL) = (nonce IS NULL)),
    CHECK ((block IS NULL) = (block_hash IS NULL)),
    CHECK (state <> 'wanted' OR nonce IS NULL),
    CHECK (state NOT IN ('signed', 'broadcast', 'mined') OR nonce IS NOT NULL),
    CHECK ((done_at IS NULL) = (state NOT IN ('final', 'failed')))
) STRICT;
CREATE UNIQUE INDEX sending_nonce ON sending (chain_id, signer, nonce) WHERE nonce IS NOT NULL;
CREATE INDEX sending_open ON sending (chain_id, id) WHERE done_at IS NULL;
CREATE INDEX sending_of_lease ON sending (lease, id);

-- Every transaction that was ever signed, written before it was sent: whatever became of the process,
-- the same bytes are sent again.
CREATE TABLE attempt (
    id           INTEGER PRIMARY KEY AUTOINCREMENT, -- the order in which they were signed
    sending      INTEGER NOT NULL REFERENCES sending (id),
    hash         TEXT NOT NULL UNIQUE CHECK (length(hash) = 66),
    raw          TEXT NOT NULL,
    signer       TEXT NOT NULL,
    nonce        INTEGER NOT NULL CHECK (nonce >= 0),
    gas          INTEGER NOT NULL CHECK (gas > 0),
    cap          TEXT NOT NULL CHECK (length(cap) BETWEEN 3 AND 66), -- wei for a unit of gas, at most
    tip          TEXT CHECK (length(tip) BETWEEN 3 AND 66),          -- NULL where there is one price only
    void         INTEGER NOT NULL CHECK (void IN (0, 1)), -- does nothing but use its nonce up
    signed_at    INTEGER NOT NULL,          -- wall time, like broadcast_at
    signed_block INTEGER NOT NULL,          -- the chain's head then
    broadcast_at INTEGER                    -- NULL: no node is known to have taken it
) STRICT;
CREATE INDEX attempt_of_sending ON attempt (sending, id);
CREATE INDEX attempt_nonce ON attempt (signer, nonce);
