"""A scanner on a modelled chain, and a store for what it reads."""

from chainwatch.chain import profiles
from chainwatch.chain.scanner import Scanner
from chainwatch.chain.settings import Finality, SourceSettings
from chainwatch.domain.batches import Source
from chainwatch.domain.events import Event
from tests.support.chain_model import CONTRACT, ChainModel, ModelEndpoint, ModelPool, minted
from tests.support.ledger import Ledger

OWNER = "0x" + "a1" * 20


def settings(
    *, confirmations: int = 2, finality: Finality = "finalized", max_range: int = 1000
) -> SourceSettings:
    return SourceSettings(
        source=Source("shop", 31337, CONTRACT, 1, "lease"),
        http=(),
        ws=(),
        confirmations=confirmations,
        finality=finality,
        poll_interval=1,
        stale_after=60,
        max_range=max_range,
        timeout=5,
    )


def reading(
    chain: ChainModel,
    *endpoints: ModelEndpoint,
    using: SourceSettings | None = None,
    ledger: Ledger | None = None,
) -> tuple[Scanner, Ledger]:
    ledger = ledger or Ledger()
    pool = ModelPool(endpoints or chain.rpc.endpoints)
    scanner = Scanner(using or settings(), pool, profiles.get("lease"), ledger)
    return scanner, ledger


def mint(token: int) -> list[Event]:
    return minted(token, OWNER, plan=1, expires_at=1_800_000_000)


def busy_chain(blocks: int, *, every: int = 3) -> ChainModel:
    chain = ChainModel()
    for number in range(1, blocks + 1):
        chain.mine(mint(number) if number % every == 0 else [])
    return chain
