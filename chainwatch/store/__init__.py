"""What the daemon remembers, in one SQLite file; the only home of aiosqlite."""
