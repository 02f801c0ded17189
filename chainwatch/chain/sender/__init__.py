"""The chain's side of what the daemon sends: keys, fees, and the way to a node."""
