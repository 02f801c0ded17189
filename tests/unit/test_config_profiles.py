"""What a source's configuration has to say besides, depending on how its contract is read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from chainwatch.chain.settings import SourceSettings
from chainwatch.config import load
from chainwatch.domain.lease import Plan
from chainwatch.errors import Fatal

EXAMPLE = Path(__file__).parents[2] / "docs" / "reference" / "chainwatch.toml"
PLAN = """
[source.plan]
cores = 2
memory_mib = 4096
disk_gib = 40
grace = 86400

[proxmox]"""
FOREIGN = ("ws = [", 'profile = "erc5643"\nws = [')

Reading = Callable[..., SourceSettings]


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    """The only source of the documented example, with texts replaced."""
    for name in ("proxmox-token", "identity-key"):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text("c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldA")

    def read(*changes: tuple[str, str]) -> SourceSettings:
        text = EXAMPLE.read_text()
        for old, new in changes:
            assert old in text, f"the example does not hold {old!r}"
            text = text.replace(old, new)
        path = tmp_path / "chainwatch.toml"
        path.write_text(text)
        (source,) = load(path, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).sources
        return source

    return read


def test_a_contract_without_plans_sells_what_the_configuration_says(reading: Reading) -> None:
    known = ("start_block", 'ignore_events = ["MetadataUpdate(uint256)"]\nstart_block')
    source = reading(FOREIGN, known, ("[proxmox]", PLAN))

    assert source.plan == Plan(0, "base", 0, 2, 4096, 40, 86_400, defined=True)
    assert source.ignore_events == ("MetadataUpdate(uint256)",)


def test_it_may_be_containers_that_such_a_contract_sells(reading: Reading) -> None:
    sold = PLAN.replace("cores = 2", 'kind = "container"\ncores = 2')
    source = reading(FOREIGN, ("[proxmox]", sold))

    assert source.plan == Plan(0, "base", 1, 2, 4096, 40, 86_400, defined=True)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ([FOREIGN], "source[0].plan: is missing, and profile erc5643 reads no plans; write a"),
        ([("[proxmox]", PLAN)], "source[0].plan: does not go with profile lease"),
        (
            [("ws = [", 'ignore_events = ["Sold(uint256)"]\nws = [')],
            "source[0].ignore_events: does not go with profile lease",
        ),
        (
            [
                FOREIGN,
                ("ws = [", 'ignore_events = ["Transfer(address,address,uint256)"]\nws = ['),
                ("[proxmox]", PLAN),
            ],
            "source[0].ignore_events: names Transfer(address,address,uint256), which leases",
        ),
        (
            [FOREIGN, ("[proxmox]", PLAN.replace("cores = 2", "cores = 0"))],
            "source[0].plan.cores: should be greater than 0; write for example cores = 2",
        ),
        (
            [FOREIGN, ("[proxmox]", PLAN.replace("grace = 86400", ""))],
            "source[0].plan.grace: is missing; write for example grace = 604800",
        ),
    ],
)
def test_what_does_not_go_with_the_profile_is_refused(
    reading: Reading, changes: list[tuple[str, str]], sentence: str
) -> None:
    with pytest.raises(Fatal) as refusal:
        reading(*changes)

    assert sentence in str(refusal.value)


SELLS = """
[[source.sells]]
number = 3
cores = 2
memory_mib = 4096
disk_gib = 40
grace = 86400

[proxmox]"""
HOSTING = (
    "ws = [",
    'credential = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"\nprofile = "blockhost"\nws = [',
)


def test_plans_that_say_no_hardware_are_described_one_by_one(reading: Reading) -> None:
    source = reading(HOSTING, ("[proxmox]", SELLS))

    assert source.sold(3) == Plan(3, "base", 0, 2, 4096, 40, 86_400, defined=True)
    assert source.sold(4) is None
    assert source.source.credential == "0xfb6916095ca1df60bb79ce92ce3ea74c37c5d359"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ([HOSTING], "source[0].sells: is missing, and profile blockhost reads no hardware; write"),
        (
            [HOSTING, ("[proxmox]", PLAN)],
            "source[0].plan: does not go with profile blockhost; write sells instead",
        ),
        (
            [("ws = [", 'profile = "blockhost"\nws = ['), ("[proxmox]", SELLS)],
            "source[0].credential: is missing, and profile blockhost reads from it who owns",
        ),
        (
            [HOSTING, ("[proxmox]", SELLS.replace("[proxmox]", "") + SELLS)],
            "source[0].sells: names a plan twice; write each once",
        ),
        (
            [(HOSTING[0], HOSTING[1].replace("blockhost", "erc5643")), ("[proxmox]", PLAN)],
            "source[0].credential: does not go with profile erc5643; leave it out",
        ),
        (
            [FOREIGN, ("[proxmox]", PLAN.replace("[proxmox]", "") + SELLS)],
            "source[0].sells: does not go with profile erc5643; write plan instead",
        ),
        ([("[proxmox]", SELLS)], "source[0].sells: does not go with profile lease"),
    ],
)
def test_what_does_not_go_with_hosting_is_refused(
    reading: Reading, changes: list[tuple[str, str]], sentence: str
) -> None:
    with pytest.raises(Fatal) as refusal:
        reading(*changes)

    assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        ("Sold", "is not the signature of an event: a name and its types in brackets"),
        ("Sold(uint256 token)", "is not the signature of an event"),
        ("Sold(uint256, address)", "is not the signature of an event"),
        ("Sold(thing)", "is not the signature of an event"),
        ("Sold(uint7)", "is not the signature of an event"),
        ("Sold(uint256))", "is not the signature of an event"),
        ("event Sold(uint256)", "is not the signature of an event"),
        ("Sold(uint,(int,bool)[])", "shortens a type; write Sold(uint256,(int256,bool)[])"),
    ],
)
def test_an_event_that_is_not_written_to_the_letter_is_refused(
    reading: Reading, event: str, sentence: str
) -> None:
    known = ("ws = [", f'ignore_events = ["{event}"]\nws = [')
    with pytest.raises(Fatal) as refusal:
        reading(FOREIGN, known, ("[proxmox]", PLAN))

    assert f"source[0].ignore_events[0]: {sentence}" in str(refusal.value)
