"""What the chain says should exist, and the daemon that makes it so."""

from provisioner import __version__

__all__ = ["__version__"]
