"""Where a Proxmox cluster is, as whom we call it, and how we use it.

Plain frozen values: whoever reads a config file has checked them. The secret never shows in a repr,
and a certificate is always verified: against `ca_file` (an authority, or the very certificate), or
against what the system trusts. There is no way to switch that off.
"""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProxmoxEndpoint:
    """One API endpoint and one token; `timeout` in seconds, above the 30 s of Proxmox's proxy.

    `token_id` is `user@realm!name`. `threads` and `slow_threads` bound how many calls are in
    flight, and how many of those may be the kind that Proxmox answers late.
    """

    host: str
    port: int
    token_id: str
    token_secret: str = field(repr=False)
    ca_file: Path | None = None
    timeout: float = 35.0
    threads: int = 8
    slow_threads: int = 4

    def __post_init__(self) -> None:
        user, bang, name = self.token_id.partition("!")
        if not (bang and name and "@" in user):
            raise ValueError(f"token id {self.token_id!r}: write it as user@realm!name")


@dataclass(frozen=True, slots=True)
class ProxmoxSettings:
    """How machines are made: from which templates, and into which pool.

    `templates` are also the sentinels: a list of guests that shows none of them is not believed.
    Containers are made out of the archive `os_template` (a volume's id), with their root on
    `container_storage` where nothing else is said. `backup_storage` is where backups go, if any do.
    """

    templates: tuple[int, ...]
    pool: str | None = None
    os_template: str | None = None
    container_storage: str | None = None
    backup_storage: str | None = None
