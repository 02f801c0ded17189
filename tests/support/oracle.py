"""The truth about a real chain: its canonical receipts, read by web3's own decoder.

Slow and simple on purpose, and without a line of the reader that it judges.
"""

from collections.abc import Mapping
from typing import Final, Protocol

from web3.exceptions import LogTopicError
from web3.types import EventData

from chainwatch.domain.events import (
    ActionRequested,
    ConnectionPublished,
    Delivered,
    Event,
    ExpiryUpdated,
    KeysChanged,
    LeaseMinted,
    Logged,
    PlanChanged,
    PlanDefined,
    PlanTerms,
    Transferred,
    UpgradeUpdated,
)
from tests.support.lease_contract import Deployed

_NEVER: Final = 2**62 - 1
"""What stands for every time that is later."""


class Watched(Protocol):
    """A contract that was deployed for a test."""

    @property
    def deployed(self) -> Deployed: ...

    @property
    def address(self) -> str: ...


async def truth(shop: Watched, up_to: int) -> list[Logged]:
    """What the contract's logs say in the receipts of blocks 0 to `up_to`, in their order.

    A log that the contract's ABI cannot read says nothing.
    """
    contract = shop.deployed.contract
    by_topic = {event.topic: event for event in contract.all_events()}
    told: list[Logged] = []
    for number in range(up_to + 1):
        for receipt in await contract.w3.eth.get_block_receipts(number):
            for log in receipt["logs"]:
                if log["address"] != shop.address:
                    continue
                reader = by_topic.get(log["topics"][0].to_0x_hex())
                if reader is None:
                    continue
                try:
                    data = reader.process_log(log)
                except LogTopicError:
                    continue
                event = _event(data["event"], data["args"])
                if event is not None:
                    told.append(_logged(event, data))
    return told


def _logged(event: Event, data: EventData) -> Logged:
    return Logged(
        event,
        data["blockNumber"],
        data["blockHash"].to_0x_hex(),
        data["logIndex"],
        data["transactionHash"].to_0x_hex(),
    )


def _event(name: str, said: Mapping[str, object]) -> Event | None:
    match name, dict(said):
        case "Transfer", {"tokenId": int(token), "from": str(sender), "to": str(recipient)}:
            return Transferred(token, sender.lower(), recipient.lower())
        case "LeaseMinted", {"tokenId": int(token), "planId": int(plan), "payer": str(payer)} as a:
            return LeaseMinted(
                token, plan, payer.lower(), _int(a["secondsBought"]), _int(a["paid"])
            )
        case "LeaseDelivered", {"tokenId": int(token), "deliveredAt": int(at)}:
            return Delivered(token, at)
        case "KeysChanged", {
            "tokenId": int(token),
            "sshKey": str(ssh),
            "encryptionKey": bytes(raw),
        }:
            return KeysChanged(token, ssh, f"0x{raw.hex()}" if raw else "")
    return _expiry(name, said) or _dealing(name, said) or _plan(name, said)


def _dealing(name: str, said: Mapping[str, object]) -> Event | None:
    match name, dict(said):
        case "PlanChanged", {"tokenId": int(token), "planId": int(plan)}:
            return PlanChanged(token, plan)
        case "UpgradeUpdate", {"tokenId": int(token), "planId": int(plan), "deadline": int(until)}:
            return UpgradeUpdated(token, plan, until)
        case "ActionRequested", {"tokenId": int(token), "kind": int(kind), "data": bytes(raw)}:
            return ActionRequested(token, kind, f"0x{raw.hex()}" if raw else "")
        case "ConnectionPublished", {"tokenId": int(token), "connection": bytes(raw)}:
            return ConnectionPublished(token, f"0x{raw.hex()}" if raw else "")
    return None


def _expiry(name: str, said: Mapping[str, object]) -> Event | None:
    match name, dict(said):
        case "SubscriptionUpdate", {"tokenId": int(token), "expiration": int(until)}:
            return ExpiryUpdated(token, until)
        case "KeyExtended", {"tokenId": int(token), "newTimestamp": int(until)}:
            return ExpiryUpdated(token, min(until, _NEVER))
        case "ExpirationChanged", {"tokenId": int(token), "newExpiration": int(until)}:
            return ExpiryUpdated(token, min(until, _NEVER))
    return None


def _plan(name: str, said: Mapping[str, object]) -> Event | None:
    match name, dict(said):
        case "PlanDefined", {"planId": int(plan), "name": str(name), **rest}:
            keys = ("kind", "cores", "memoryMiB", "diskGiB", "grace")
            return PlanDefined(plan, name, *(_int(rest[key]) for key in keys))
        case "PlanTerms", {"planId": int(plan), "paymentToken": str(token), **rest}:
            price, cap = _int(rest["pricePerSecond"]), _int(rest["cap"])
            return PlanTerms(plan, token.lower(), price, cap, rest["onSale"] is True)
    return None


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
