"""The daemon's own transactions, as `chainwatch status` and `show` tell of them."""

from chainwatch.chain.sender.fees import coins
from chainwatch.cli.answers import Answer
from chainwatch.cli.printing import Cell, Row, coloured, heading, pairs, table


def show_senders(senders: list[Answer]) -> None:
    """Show how each account does, and what it has to do; nothing where there is none."""
    if not senders:
        return
    heading("Transactions of our own")
    table(
        ("CHAIN", "ADDRESS", "BALANCE", "WANTED", "UNDER WAY", "MINED", "GAS COSTS", "CEILING"),
        [_sender(each) for each in senders],
        "",
    )
    waits = [(each.text("chain_id"), why) for each in senders for why in each.texts("waits")]
    if waits:
        pairs([(f"chain {chain}", Cell(why, "yellow")) for chain, why in waits])
    rows = [sending for each in senders for sending in each.all("sendings")]
    table(
        ("LEASE", "WHAT", "STATE", "NONCE", "TRANSACTION", "WHY"),
        [(each.text("lease"), *_sending(each)) for each in rows],
        "nothing is to be sent",
    )


def show_sendings(sendings: list[Answer]) -> None:
    """Show what was, or is to be, sent for one lease; nothing where there is none."""
    if sendings:
        heading("Transactions of our own, newest first")
        rows = [_sending(each) for each in sendings]
        table(("WHAT", "STATE", "NONCE", "TRANSACTION", "WHY"), rows, "")


def _sender(sender: Answer) -> Row:
    counts = [str(sender.number(name)) for name in ("wanted", "under_way", "mined")]
    balance = sender.text("balance")
    return (
        sender.text("chain_id"),
        sender.text("address"),
        coins(int(balance)) if balance else "",
        *counts,
        *(_price(sender.text(name)) for name in ("asks_gwei", "ceiling_gwei")),
    )


def _price(gwei: str) -> str:
    return f"{gwei} gwei" if gwei else ""


def _sending(sending: Answer) -> tuple[str | Cell, ...]:
    nonce, tx_hash, why = (sending.text(name) for name in ("nonce", "tx_hash", "why"))
    return (sending.text("kind"), coloured(sending.text("state")), nonce, tx_hash, why)
