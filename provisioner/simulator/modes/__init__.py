"""The 62 ways in which Proxmox VE is known to fail, each by its number, to be armed at any call."""
