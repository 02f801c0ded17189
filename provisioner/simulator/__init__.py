"""A Proxmox VE stand-in: a pure state machine with virtual time, faults, and an HTTPS front."""
