-- How far a source had been read, and was final, when an operator had it read again; NULL once both
-- are that far again. Until then the rows lag behind what was known of the chain, and nothing may be
-- done about them: also who was let in by what was final must not be shut out for it.
ALTER TABLE source ADD COLUMN reread_to INTEGER;
ALTER TABLE source ADD COLUMN reread_final INTEGER;
