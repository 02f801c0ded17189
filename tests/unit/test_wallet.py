"""Amounts are exact, refusals are sentences, keys stay private, and nothing hostile gets in."""

import asyncio
import json
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from chainwatch import artifacts
from chainwatch.chain.rpc import Call as Asked
from chainwatch.chain.rpc import RpcError
from chainwatch.chain.wallet.amounts import Money, duration
from chainwatch.chain.wallet.chain import Chain
from chainwatch.chain.wallet.interface import entries, function
from chainwatch.chain.wallet.leases import LeaseBook
from chainwatch.chain.wallet.letterbox import Letterbox, unsealed
from chainwatch.chain.wallet.refusals import SENTENCES, never_taken, refused, sentence
from chainwatch.chain.wallet.verifying import expected, made_by
from chainwatch.cli.buyer_looks import known_hosts, ways_in
from chainwatch.cli.buyer_sales import fingerprint, public_key
from chainwatch.cli.selling_plans import per_second
from chainwatch.domain.details import Details, written
from chainwatch.domain.sealing import Place, sealed
from chainwatch.domain.sendings import Call
from chainwatch.errors import OperatorError

ARTIFACT = Path(__file__).parents[2] / "contracts" / "artifacts" / "Lease.json"
USDC = Money("0x" + "11" * 20, "USDC", 6)
PLACE = Place(31337, "0x" + "22" * 20, 7)
SIZE = json.loads(ARTIFACT.read_text())["deployedSize"]
DETAILS = Details("admin", "203.0.113.9", "", 22, ())


# ----------------------------------------------------------------------------------------- amounts


@pytest.mark.parametrize(
    ("text", "units"), [("1", 10**6), ("0.000001", 1), ("1.50", 1_500_000), ("12.5", 12_500_000)]
)
def test_an_amount_is_read_and_written_exactly(text: str, units: int) -> None:
    assert USDC.units(text) == units
    assert USDC.units(USDC.written(units).removesuffix(" USDC")) == units


@pytest.mark.parametrize("text", ["", "1.", ".5", "-1", "1e6", "1,5", "0.0000001", "１"])
def test_what_is_no_amount_is_never_rounded_to_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an amount|is finer than USDC"):
        USDC.units(text)


def test_money_without_decimals_has_no_dot() -> None:
    whole = Money("0x" + "11" * 20, "ONE", 0)
    assert (whole.written(12), whole.units("12")) == ("12 ONE", 12)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30 d", 2_592_000), ("2w", 1_209_600)])
def test_a_duration_is_read(text: str, seconds: int) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "1 month"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        duration(text)


def test_a_price_for_a_second_is_never_less_than_what_was_asked() -> None:
    assert per_second(USDC, "10", 2_592_000) * 2_592_000 >= USDC.units("10")


# ---------------------------------------------------------------------------------------- refusals


def test_every_custom_error_of_the_contract_has_a_sentence() -> None:
    errors = {
        error.signature: error for error in entries(artifacts.load("Lease").abi, "error").values()
    }
    assert {name.partition("(")[0] for name in errors} == set(SENTENCES)
    samples = {"address": "0x" + "ab" * 20, "bytes32": bytes(32)}
    for error in errors.values():
        values = tuple(samples.get(kind, 2**64 - 1) for kind in error.takes)
        said = sentence(error.signature.partition("(")[0], values)
        assert said
        assert "{" not in said


def test_a_revert_is_told_as_its_sentence_and_a_strange_one_in_bounds() -> None:
    known = function("SoldOut(uint256,uint32)").data(3, 5)
    reverted = RpcError(3, "execution reverted", known)
    assert str(refused(reverted)) == "plan 3 is sold out: all 5 of it are taken"
    strange = str(refused(RpcError(3, "x" * 9000, "0xdeadbeef")))
    assert strange.startswith("it would fail: xxx")
    assert len(strange) < 300
    cut = str(refused(RpcError(3, "execution reverted", known[:20])))
    assert cut == "it would fail: execution reverted"


@pytest.mark.parametrize("data", ["", "0x", "0xzz", "nothing"])
def test_a_revert_without_readable_data_is_told_in_the_node_s_words(data: str) -> None:
    assert str(refused(RpcError(3, "execution reverted", data))).endswith("execution reverted")


@pytest.mark.parametrize(
    "words",
    [
        *("insufficient funds for gas * price + value: balance 1, tx cost 2, overshot 1",),
        *("err: intrinsic gas too low: have 20999, want 21000", "Intrinsic gas exceeds gas limit"),
        *("invalid sender", "invalid transaction signature", "Invalid signature"),
        *("invalid transaction v, r, s values", "invalid chain id for signer: have 1 want 2"),
        *("transaction type not supported", "unknown transaction type", "Invalid transaction type"),
        *("transaction underpriced: gas tip cap 1, minimum needed 2", "oversized data"),
        *("Gas price below configured minimum gas price", "exceeds block gas limit"),
        *("max fee per gas less than block base fee: maxFeePerGas: 1, baseFee: 2",),
        *("tx fee (1.10 ether) exceeds the configured cap (1.00 ether)",),
    ],
)
def test_words_about_what_a_transaction_is_say_that_it_was_not_taken(words: str) -> None:
    assert never_taken(RpcError(-32000, words))


@pytest.mark.parametrize(
    "words",
    [
        *("", "internal error", "upstream timed out", "txpool is full", "header not found"),
        *("already known", "known transaction. It has insufficient funds", "nonce too low"),
        *("replacement transaction underpriced", "Replacement transaction underpriced"),
        *("Upfront cost exceeds account balance", "InsufficientFunds", "FeeTooLow"),
        "nonce too high",
    ],
)
def test_other_words_leave_open_whether_it_was_taken(words: str) -> None:
    assert not never_taken(RpcError(-32000, words))


# --------------------------------------------------------------------------------- hostile answers


class Liar:
    """A node that answers every view with the same bytes."""

    name = "node"

    def __init__(self, answer: str) -> None:
        self._answer = answer

    async def call(self, method: str, *params: object) -> object:
        return self._answer

    async def batch(self, calls: Sequence[Asked]) -> list[object]:
        return [self._answer for _ in calls]


def test_gas_is_left_for_two_words_that_a_later_second_writes() -> None:
    chain = Chain(Rich(), 1)  # type: ignore[arg-type]  # it asks nothing else
    call = Call("0x" + "22" * 20, "0x")
    assert asyncio.run(chain.prepare("0x" + "33" * 20, call)).gas >= 21_000 + 2 * 22_100


class Rich:
    """A node on which everybody has money, and everything costs 21,000 units of gas."""

    name = "node"

    async def call(self, method: str, *params: object) -> object:
        latest = {"baseFeePerGas": "0x7", "timestamp": "0x1"}
        usual = {"eth_getBlockByNumber": latest, "eth_estimateGas": hex(21_000)}
        return usual.get(method, "0xde0b6b3a7640000")


@pytest.mark.parametrize("answer", ["0x", "0x00", "0x" + "ff" * 32, "0x" + "ff" * 640])
def test_a_contract_that_answers_nonsense_is_named_and_not_believed(answer: str) -> None:
    book = LeaseBook(Chain(Liar(answer), 1), "0x" + "22" * 20)  # type: ignore[arg-type]  # it asks nothing else
    for question in (book.plan(1), book.plans(), book.lease(1)):
        with pytest.raises(OperatorError):
            asyncio.run(question)


@pytest.mark.parametrize("answer", ["0x", "0x00", "0x" + "ff" * 32])
def test_a_token_that_does_not_say_what_it_is_is_counted_in_its_smallest_unit(answer: str) -> None:
    book = LeaseBook(Chain(Liar(answer), 1), "0x" + "22" * 20)  # type: ignore[arg-type]  # as above
    money = asyncio.run(book.money(USDC.address))
    assert money.written(15) == f"15 smallest units of {USDC.address}"


@pytest.mark.parametrize(
    "details",
    [
        Details("admin; rm -rf /", "203.0.113.9", ""),
        Details("-oProxyCommand=x", "203.0.113.9", ""),
        Details("admin", "203.0.113.9 -oX", ""),
        Details("admin", "203.0.113.9", "fe80::1%;reboot"),
        Details("admin", "203.0.113.9", "", 0),
        Details("admin", "", ""),
    ],
)
def test_no_command_is_made_of_hostile_details(details: Details) -> None:
    with pytest.raises(OperatorError):
        ways_in(details)


def test_another_port_stands_in_the_command() -> None:
    there = Details("admin", "203.0.113.9", "2001:db8::1", 2222)
    assert ways_in(there) == ["ssh -p 2222 admin@203.0.113.9", "ssh -p 2222 admin@2001:db8::1"]


HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFU8WGqKdTL9+y0hJ2ODLVMWlSdzUf/Qa8fqBm6CKoYJ"


@pytest.mark.parametrize(
    "said",
    [
        f"@cert-authority * {HOST_KEY}",
        f"* {HOST_KEY}",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 attacker",
        "ssh-rsa AAAAB3NzaC1yc2E",
        HOST_KEY.replace("ssh-ed25519", "ecdsa-sha2-nistp256"),
    ],
)
def test_nothing_but_a_machine_s_own_keys_is_offered_to_known_hosts(said: str) -> None:
    there = Details("admin", "203.0.113.9", "2001:db8::1", 22, (said, f"{HOST_KEY} and more"))
    honest = [f"203.0.113.9 {HOST_KEY}", f"2001:db8::1 {HOST_KEY}"]
    assert [line for line in known_hosts(there) if HOST_KEY in line] == honest
    assert not any("@" in line or "*" in line for line in known_hosts(there))
    assert known_hosts(replace(there, port=2222))[0].startswith("[203.0.113.9]:2222 ")


def test_the_lines_are_what_ssh_finds_a_host_by(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    for port, host in ((22, "203.0.113.9"), (2222, "[203.0.113.9]:2222")):
        file.write_text("\n".join(known_hosts(Details("a", "203.0.113.9", "", port, (HOST_KEY,)))))
        found = subprocess.run(
            ("ssh-keygen", "-F", host, "-f", file), capture_output=True, text=True, check=True
        )
        assert HOST_KEY in found.stdout


def test_a_fingerprint_is_the_one_that_ssh_keygen_prints(tmp_path: Path) -> None:
    file = tmp_path / "key.pub"
    file.write_text(f"{HOST_KEY} me@here\n")
    said = subprocess.run(
        ("ssh-keygen", "-l", "-f", file), capture_output=True, text=True, check=True
    )
    assert fingerprint(f"{HOST_KEY} me@here") in said.stdout


# ------------------------------------------------------------------------------------------- keys


def test_a_key_is_kept_for_its_owner_alone_and_found_again(tmp_path: Path) -> None:
    box, private = Letterbox(tmp_path / "me.json"), X25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    path = box.keep(private)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    blob = sealed(written(DETAILS), public, PLACE, X25519PrivateKey.generate())
    assert unsealed(box, PLACE, public, blob) == DETAILS
    with pytest.raises(OperatorError, match="can't be written"):
        box.keep(private)


def test_what_does_not_open_says_why_and_what_to_do(tmp_path: Path) -> None:
    box, private = Letterbox(tmp_path / "me.json"), X25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    path = box.keep(private)
    elsewhere = sealed(written(DETAILS), public, Place(1, PLACE.contract, 7), private)
    for key, blob, said in (
        (b"", b"", "names no encryption key"),
        (b"short", b"", "names a key that is none"),
        (bytes(32), elsewhere, "is not there: take it from where the machine was bought"),
        (public, b"", "no connection details of lease 7 are on the chain yet"),
        (public, elsewhere, "don't open: it was sealed to another key"),
        (public, b"\x02" + elsewhere[1:], "another version"),
    ):
        with pytest.raises(OperatorError, match=said):
            unsealed(box, PLACE, key, blob)
    path.chmod(0o640)
    with pytest.raises(OperatorError, match="chmod 600"):
        unsealed(box, PLACE, public, elsewhere)
    path.chmod(0o600)
    path.write_text('{"private": "00"}')
    with pytest.raises(OperatorError, match="is damaged"):
        unsealed(box, PLACE, public, elsewhere)


@pytest.mark.parametrize(
    "text",
    [
        *("-----BEGIN OPENSSH PRIVATE KEY-----\nx", "hello", "ssh-rsa A\nssh-rsa B", "ssh-" * 400),
        *("ssh-ed25519 AAAA me", f'command="x" {HOST_KEY}', f"{HOST_KEY} \x1b[2J"),
    ],
)
def test_only_a_public_key_is_ever_published(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    with pytest.raises(OperatorError):
        public_key(file)


# ------------------------------------------------------------------------------------------- code


def test_the_expected_code_is_as_long_as_the_artifact_says() -> None:
    there = expected("0x" + "ab" * 20)
    assert len(there.code) == SIZE
    assert bytes.fromhex(there.art_address[2:]) in there.code
    assert there.code != expected("0x" + "cd" * 20).code


def test_an_address_follows_from_its_maker_and_nonce() -> None:
    """The example that the Ethereum documentation of CREATE is usually held against."""
    maker = "0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0"
    assert made_by(maker, 0) == "0xcd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"
    assert made_by(maker, 1) == "0x343c43a37d37dff08ae8c4a11544c718abb4fcf8"
