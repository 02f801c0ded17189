"""The simulated nodes over SSH: what the helper there would do, on the simulated cluster."""
