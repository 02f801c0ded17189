-- Since when a lease's time runs, as its contract said; 0: it was not delivered, or its contract knows no deliveries.
ALTER TABLE lease ADD COLUMN delivered_at INTEGER NOT NULL DEFAULT 0;
