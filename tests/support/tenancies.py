"""Who rents what, told from the chain model alone, without a line of the daemon's own fold."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from chainwatch.domain.events import (
    ZERO_ADDRESS,
    ExpiryUpdated,
    KeysChanged,
    Logged,
    Transferred,
)
from tests.support.chain_model import ChainModel

#: Blocks above the one that the daemon believes.
CONFIRMATIONS: Final = 1


@dataclass(frozen=True, slots=True)
class Tenancy:
    """One mint of a token; `sales` counts changes of owner, `key` is what the owner gave."""

    token: int
    nonce: str
    owner: str
    sales: int = 0
    key: str = ""
    expires_at: int = 0

    @property
    def name(self) -> str:
        """What its machine is called."""
        return f"lease-{self.token}-{self.nonce[:8]}"

    @property
    def burnt(self) -> bool:
        """Whether the token is gone."""
        return self.owner == ZERO_ADDRESS

    def paid(self, at: int) -> bool:
        """Say whether somebody pays for it at chain time `at`."""
        return not self.burnt and at < self.expires_at


@dataclass(frozen=True, slots=True)
class View:
    """The last mint of every token as of some block, and that block's time."""

    at: int
    tenancies: dict[int, Tenancy]


def confirmed(chain: ChainModel) -> View:
    """Return what the daemon may believe."""
    return _view(chain, chain.head.number - CONFIRMATIONS)


def final(chain: ChainModel) -> View:
    """Return what nobody can take back."""
    return _view(chain, chain.head.number - chain.final_lag)


def latest(chain: ChainModel) -> View:
    """Return what the head says."""
    return _view(chain, chain.head.number)


def _view(chain: ChainModel, number: int) -> View:
    number = max(number, 0)
    return View(chain.blocks[number].block.timestamp, _told(chain.events(number)))


def _told(events: Sequence[Logged]) -> dict[int, Tenancy]:
    told: dict[int, Tenancy] = {}
    for logged in events:
        match logged.event:
            case Transferred(token, sender, owner) if sender == ZERO_ADDRESS:
                told[token] = Tenancy(token, _nonce(logged.tx_hash, token), owner)
            case Transferred(token, _, owner):
                before = told[token]
                told[token] = replace(before, owner=owner, sales=before.sales + 1, key="")
            case ExpiryUpdated(token, until):
                told[token] = replace(told[token], expires_at=until)
            case KeysChanged(token, key, _):
                told[token] = replace(told[token], key=key)
    return told


def _nonce(tx: str, token: int) -> str:
    return hashlib.sha256(bytes.fromhex(tx[2:]) + token.to_bytes(32, "big")).hexdigest()
