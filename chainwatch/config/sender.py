"""The keys that say with which key the daemon sends transactions of its own, and at what price.

The key is opened when the file is read, so that a wrong password is said before anything starts.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Self

from pydantic import AfterValidator, Field, PlainValidator, PrivateAttr, model_validator

from chainwatch.config.table import Problems, Table
from chainwatch.config.values import not_empty, secret_file, sender_key
from chainwatch.credentials import Secret


@dataclass(frozen=True, slots=True)
class SenderChainConfig:
    """A chain to send on: wei for a unit of gas at most, and the balance (wei) worth an alarm."""

    chain_id: int
    ceiling: int
    least_balance: int


@dataclass(frozen=True, slots=True)
class SenderConfig:
    """The hot key (32 bytes), and the chains that it sends on."""

    key: Secret
    chains: tuple[SenderChainConfig, ...]


class SenderChain(Table):
    """A chain that transactions are sent on."""

    chain_id: int = Field(gt=0, description="The chain's EIP-155 id.", examples=[8453])
    most_fee_gwei: float = Field(
        gt=0,
        description="Most that is ever offered for a unit of gas, in gwei (10⁻⁹ of the chain's "
        "coin). While the chain asks more than half of it nothing new is sent, and an alarm and "
        "`status` say so; the rest is for replacing what gets stuck.",
        examples=[5.0],
    )
    least_balance: float = Field(
        default=0.01,
        ge=0,
        description="Balance of the key's account, in the chain's coin, below which an alarm is "
        "raised.",
        examples=[0.01],
    )


class Sender(Table):
    """The hot key that delivers leases: a provisioner at the contracts, and nothing else."""

    keystore_file: Annotated[Secret, PlainValidator(secret_file)] | None = Field(
        default=None,
        description="Encrypted keystore of the hot key (web3 secret storage, version 3), as "
        "wallets and `geth account new` write it. Not needed where systemd provides the credential "
        "`sender-keystore`.",
        examples=["/etc/chainwatch/credentials/sender-keystore"],
    )
    password_file: Annotated[Secret, PlainValidator(secret_file)] | None = Field(
        default=None,
        description="File with the keystore's password. Not needed where systemd provides the "
        "credential `sender-password`.",
        examples=["/etc/chainwatch/credentials/sender-password"],
    )
    key_file: Annotated[Secret, PlainValidator(sender_key)] | None = Field(
        default=None,
        description="Instead of a keystore: file with the private key itself, 64 hexadecimal "
        "digits. Not needed where systemd provides the credential `sender-key`, which it can keep "
        "encrypted.",
        examples=["/etc/chainwatch/credentials/sender-key"],
    )
    chains: Annotated[tuple[SenderChain, ...], AfterValidator(not_empty)]

    _key: Secret = PrivateAttr()

    @model_validator(mode="after")
    def _has_one_key(self) -> Self:
        if found := [*self._files(), *self._chains()]:
            raise Problems(found)
        self._key = self._opened()
        return self

    def _files(self) -> list[tuple[str, str]]:
        if self.key_file is not None:
            text = "does not go with key_file; write one of them"
            written = {"keystore_file": self.keystore_file, "password_file": self.password_file}
            return [(key, text) for key, value in written.items() if value is not None]
        if self.keystore_file is None:
            return [("keystore_file", "is missing; write it with password_file, or write key_file")]
        if self.password_file is None:
            return [("password_file", "is missing, and the keystore does not open without it")]
        return []

    def _chains(self) -> list[tuple[str, str]]:
        if len({table.chain_id for table in self.chains}) < len(self.chains):
            return [("chains", "names a chain twice; write each once")]
        return []

    def _opened(self) -> Secret:
        from chainwatch.chain.sender.keys import opened  # costs time, which only who sends must pay

        if self.key_file is not None:
            return self.key_file
        if self.keystore_file is None or self.password_file is None:
            raise ValueError("has no key")
        try:
            return Secret(opened(self.keystore_file.reveal(), self.password_file.reveal()))
        except ValueError as error:
            raise Problems([("keystore_file", str(error))]) from None

    def settled(self) -> SenderConfig:
        """Return what these keys amount to."""
        return SenderConfig(self._key, tuple(map(_chain, self.chains)))


def _chain(table: SenderChain) -> SenderChainConfig:
    return SenderChainConfig(
        table.chain_id,
        ceiling=int(Decimal(str(table.most_fee_gwei)) * 10**9),
        least_balance=int(Decimal(str(table.least_balance)) * 10**18),
    )
