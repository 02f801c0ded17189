-- How far a source had been read when an operator had it read again; NULL once it is that far again.
-- Until then the rows lag behind what was known of the chain, and nothing may be done about them.
ALTER TABLE source ADD COLUMN reread_to INTEGER;
