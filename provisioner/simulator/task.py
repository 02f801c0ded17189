"""One worker of a node: what it is, and what it has said so far."""

from dataclasses import dataclass, field

from provisioner.simulator.timeline import Process


@dataclass(slots=True)
class Task:
    """One worker; times in virtual seconds, `status` is its exit status once it has ended."""

    upid: str
    node: str
    pid: int
    pstart: int
    started: int
    kind: str
    id: str
    token: str
    log: list[str] = field(default_factory=list)
    warnings: int = 0
    ended: int | None = None
    status: str | None = None
    process: Process[None] | None = None

    @property
    def user(self) -> str:
        """Return whose token it was."""
        return self.token.split("!")[0]
