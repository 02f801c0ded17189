"""The keys that say how far the daemon may go, how often it looks, and what it keeps."""

from typing import Literal, Self

from pydantic import Field, model_validator

from chainwatch.config.table import Problems, Table


class Policy(Table):
    """How far the daemon may go, and how often it looks."""

    default_grace: int = Field(
        default=604800,
        ge=0,
        description="Seconds of grace (chain time) for a machine whose plan is not known.",
        examples=[604800],
    )
    destroys_per_hour: int = Field(
        default=5,
        ge=0,
        description="Machines destroyed in an hour at most; what exceeds it waits and raises an "
        "alarm. 0 destroys nothing.",
        examples=[5],
    )
    resync_interval: float = Field(
        default=300.0,
        gt=0,
        description="Seconds between two sweeps: what the cluster's list shows as new or changed "
        "is looked at, and a part of all other leases (at least 20 of them, and each within 72 "
        "sweeps), whatever happened.",
        examples=[300.0],
    )
    tick: float = Field(
        default=1.0,
        gt=0,
        description="Seconds between looks at the tasks of a node on which several may end soon; "
        "a single one is looked at about when it should end by what the last ones took.",
        examples=[1.0],
    )
    workers: int = Field(
        default=8, gt=0, le=256, description="Leases worked on at once.", examples=[8]
    )
    quarantine: int = Field(
        default=86400,
        ge=0,
        description="Seconds that a freed VMID, and so its addresses, rests before reuse.",
        examples=[86400],
    )
    drift: Literal["repair", "report"] = Field(
        default="repair",
        description="What becomes of a machine's settings that somebody changed on the hypervisor: "
        "they are put right, or left so and told by an alarm. Who may enter, whose machine it is "
        "and that it stays off is always put right.",
        examples=["repair"],
    )
    cancel_undelivered: Literal["overdue", "never"] = Field(
        default="overdue",
        description="What becomes of a lease whose delivery time is over for good while its "
        "machine does not run: `overdue` cancels it on the chain, so that its buyer has all back "
        "at once; with `never` he takes it back himself. `chainwatch cancel` does it at any time.",
        examples=["overdue"],
    )
    on_destroy: Literal["nothing", "backup"] = Field(
        default="nothing",
        description="What comes before a destroy: `backup` makes one on `backup_storage` and "
        "destroys nothing without it; a lease that is paid for again later gets its machine back "
        "from it.",
        examples=["backup"],
    )
    backup_storage: str = Field(
        default="",
        pattern=r"^([A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9])?$",
        description='Storage that backups go to; needed with `on_destroy = "backup"`.',
        examples=["backups"],
    )
    backup_mode: Literal["stop", "suspend", "snapshot"] = Field(
        default="stop",
        description="How Proxmox makes a backup. The machine stands still then, so that all of "
        "them are equally consistent.",
        examples=["stop"],
    )
    backup_keep_days: int = Field(
        default=30,
        ge=1,
        description="Days (of chain time) after which a backup is deleted, unless its lease is "
        "paid for again by then.",
        examples=[30],
    )

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.on_destroy == "backup" and not self.backup_storage:
            raise Problems([("backup_storage", "is missing; name the storage that backups go to")])
        return self
