-- What the contract said when it refused an intent that has not ended; NULL where it does not, or was not asked yet.
ALTER TABLE sending ADD COLUMN refused TEXT CHECK (refused <> '');

-- What was given up after its reverts has not ended by that: it is looked up like all that is wanted, and sent when an
-- operator says so. It was `failed` before, and nothing else could fail with so many reverts.
UPDATE sending SET state = 'wanted', done_at = NULL, not_before = 0 WHERE state = 'failed' AND reverts >= 3
    AND kind <> 'deliver';
