import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from chainwatch.chain.settings import SourceSettings
from chainwatch.config import AdminConfig, Config, PolicyConfig, load
from chainwatch.domain.batches import Source
from chainwatch.errors import Fatal
from provisioner import faultpoints
from provisioner.allocate import AddressRange, Pool
from provisioner.model import BackupPolicy

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
EXAMPLE = (REFERENCE / "chainwatch.toml").read_text()
TOKEN = "0f8fad5b-d9cb-469f-a165-70867728950e"
KEY = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldA=="


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, value in (("proxmox-token", TOKEN), ("identity-key", KEY)):
        secret = tmp_path / name
        secret.touch(0o600)
        secret.write_text(value + "\n")
    return tmp_path


@pytest.fixture
def example(folder: Path) -> str:
    """The documented example, naming the files in which this test keeps its secrets."""
    named = EXAMPLE.replace("# identity_key_file", "identity_key_file")
    named = named.replace("# token_file", "token_file")
    return named.replace("/etc/chainwatch/credentials", str(folder))


@pytest.fixture
def reading(folder: Path, example: str) -> Callable[..., Config]:
    """Load the example with texts replaced, under an environment."""

    def read(*changes: tuple[str, str], **environ: str) -> Config:
        text = example
        for old, new in changes:
            assert old in text, f"the example does not hold {old!r}"
            text = text.replace(old, new)
        path = folder / "chainwatch.toml"
        path.write_text(text)
        return load(path, environ)

    return read


Reading = Callable[..., Config]


def test_the_documented_example_is_a_whole_configuration(reading: Reading) -> None:
    config = reading()

    assert config.installation.id == "berlin-1"
    assert config.installation.identity_key.text() == KEY
    assert config.proxmox.token.text() == TOKEN
    assert config.sources == (
        SourceSettings(
            source=Source(
                name="base",
                chain_id=8453,
                contract="0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
                start_block=21_000_000,
                profile="lease",
            ),
            http=("https://rpc.example.net/v1/KEY", "https://rpc.example.org"),
            ws=("wss://rpc.example.net/v1/KEY",),
            confirmations=2,
            finality="finalized",
            poll_interval=2.0,
            stale_after=120.0,
            max_range=2000,
            timeout=10.0,
        ),
    )
    assert config.machines.pool == Pool(
        first=20_000,
        last=20_199,
        mac_prefix="02:00:00",
        ipv4=AddressRange("203.0.113.10/24", "203.0.113.1"),
        ipv6=AddressRange("2001:db8::1000/64", "2001:db8::1"),
    )
    assert config.policy == PolicyConfig(604_800, 5, 300.0, 1.0, 8, 86_400)
    assert config.admin == AdminConfig(
        Path("/run/chainwatch/admin.sock"), "chainwatch", "chainwatch-admin", ("127.0.0.1", 9464)
    )


# -------------------------------------------------------------------------- where values come from


def test_a_variable_replaces_a_single_key(reading: Reading) -> None:
    config = reading(
        CHAINWATCH_PROXMOX__URL="https://10.0.0.1:8443",
        CHAINWATCH_POLICY__DESTROYS_PER_HOUR="0",
        CHAINWATCH_MACHINES__TAGS='["a", "b"]',
        CHAINWATCH_MACHINES__IPV4__GATEWAY="203.0.113.2",
    )

    assert config.proxmox.url == "https://10.0.0.1:8443"
    assert config.proxmox.token_id == "chainwatch@pve!daemon"
    assert config.policy.destroys_per_hour == 0
    assert config.machines.tags == {"a", "b"}
    assert config.machines.pool.ipv4 == AddressRange("203.0.113.10/24", "203.0.113.2")


def test_a_variable_replaces_all_sources_as_json(reading: Reading, example: str) -> None:
    sources = tomllib.loads(example)["source"]
    sources[0]["finality"] = 12

    config = reading(CHAINWATCH_SOURCE=json.dumps(sources))

    assert config.sources[0].finality == 12


def test_only_the_environment_that_is_handed_in_counts(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAINWATCH_PROXMOX__URL", "https://elsewhere:8006")

    assert reading().proxmox.url == "https://pve.example.net:8006"


def test_under_systemd_the_documented_example_needs_no_change(folder: Path) -> None:
    config = load(REFERENCE / "chainwatch.toml", {"CREDENTIALS_DIRECTORY": str(folder)})

    assert config.proxmox.token.text() == TOKEN
    assert config.installation.identity_key.text() == KEY


def test_a_file_that_is_named_goes_before_a_credential(reading: Reading, folder: Path) -> None:
    credentials = folder / "credentials"
    credentials.mkdir()
    (credentials / "proxmox-token").touch(0o600)
    (credentials / "proxmox-token").write_text("another-token-altogether")

    assert reading(CREDENTIALS_DIRECTORY=str(credentials)).proxmox.token.text() == TOKEN


def test_an_armed_fault_point_is_not_taken_for_a_setting(reading: Reading) -> None:
    variables = {faultpoints.ENVIRONMENT: "hypervisor.clone.after"}

    assert reading(**variables) == reading()


# ---------------------------------------------------------------------------------- what is refused

REFUSED = [
    ('id = "berlin-1"', 'id = "Berlin 1"', "installation.id: is not of the form expected here"),
    ("[[source]]", "[source]", "source: should be a list"),
    ('name = "base"', 'name = "base"\nfoo = 1', "source[0].foo: there is no such key; known are"),
    (
        "ws = [",
        'profile = "dao"\nws = [',
        "source[0].profile: there is no profile 'dao': write one",
    ),
    ("chain_id = 8453", "chain_id = true", "source[0].chain_id: is true or false"),
    ("chain_id = 8453", "chain_id = 0", "source[0].chain_id: should be greater than 0"),
    ("BeAed", "BeAeD", "source[0].contract: has a wrong checksum (EIP-55)"),
    ("BeAed", "BeAe", "source[0].contract: is not an address"),
    ("start_block = 21000000\n", "", "source[0].start_block: is missing; write for example"),
    ('["wss:', '["https:', "source[0].ws[0]: does not begin with ws:// or wss://"),
    ("https://rpc.example.org", "https://", "source[0].http[1]: is not a URL with a host"),
    ("https://rpc.example.org", "https://[::1", "source[0].http[1]: is not a URL"),
    ("https://rpc.example.org", "https://h:99999", "source[0].http[1]: is not a URL"),
    ("ws = [", "finality = 1\nws = [", "source[0].finality: is less than confirmations"),
    ("ws = [", 'finality = "soon"\nws = [', 'source[0].finality: is neither "finalized"'),
    ("ws = [", "stale_after = 1\nws = [", "source[0].stale_after: is not more than poll_interval"),
    ("ws = [", "timeout = inf\nws = [", "source[0].timeout: should be a finite number"),
    ("https://pve.", "http://pve.", "proxmox.url: does not begin with https://"),
    (":8006", ":8006/api2", "proxmox.url: is more than https, host and port"),
    ("pve!daemon", "pve", "proxmox.token_id: is not of the form expected here"),
    ("token_file", "token", "proxmox.token: a secret is never written here; write token_file"),
    ("token_id", "tokenid", "proxmox.tokenid: there is no such key; did you mean token_id?"),
    ("vmid_last = 20199", "vmid_last = 20399", "machines: 203.0.113.0/24 has no room for 400"),
    ("vmid_last = 20199", "vmid_last = 19999", "machines: VMIDs 20000-19999 are not a range"),
    ("template_vms = [9000]", "template_vms = [20005]", "machines.template_vms: names a VMID of"),
    ("vmid_first = 20000", "vmid_first = 99", "machines.vmid_first: should be greater than"),
    ('gateway = "203.0.113.1"', 'gateway = "203.0.113.15"', "machines: the gateway 203.0.113.15"),
    ('gateway = "203.0.113.1"', 'gateway = "203.0.114.1"', "machines: the gateway 203.0.114.1"),
    ("[machines.ipv4]", "[machines.ipv7]", "machines.ipv7: there is no such key; did you mean"),
    (
        'nameserver = "203',
        'nameserver = "dns',
        "machines.nameserver: is not a list of IP addresses",
    ),
    ('first = "203.0.113.10/24"', 'first = "fd00::1/64"', "machines.ipv4.first: is not an IPv4"),
    (
        "template_vms = [9000]",
        'template_vms = [9000]\nmac_prefix = "01:00:5e"',
        "machines.mac_prefix: is not locally administered and unicast",
    ),
    (
        "template_vms = [9000]",
        'template_vms = [9000]\nmac_prefix = "02:00"',
        "machines.mac_prefix: is not three bytes",
    ),
    ("127.0.0.1:9464", "0.0.0.0:9464", "admin.metrics_listen: is not a loopback address"),
    ("127.0.0.1:9464", "localhost:9464", "admin.metrics_listen: is not a loopback address"),
    ("127.0.0.1:9464", "127.0.0.1", "admin.metrics_listen: is not a loopback address"),
    ("[admin]", '[log]\nlevel = "loud"\n[admin]', "log.level: should be 'debug', 'info'"),
    ("[admin]", '[admin]\nsocket = "admin.sock"', "admin.socket: is not an absolute path"),
    ("[admin]", f'[admin]\nsocket = "/{"x" * 107}"', "admin.socket: is longer than the 107 bytes"),
]


@pytest.mark.parametrize(("old", "new", "sentence"), REFUSED)
def test_what_cannot_be_is_refused_by_the_path_of_its_key(
    reading: Reading, old: str, new: str, sentence: str
) -> None:
    with pytest.raises(Fatal) as refusal:
        reading((old, new))

    assert sentence in str(refusal.value)


def test_all_problems_are_said_at_once_a_line_each(reading: Reading) -> None:
    with pytest.raises(Fatal) as refusal:
        reading(
            ('id = "berlin-1"', 'id = ""'),
            ("https://pve.", "http://pve."),
            ("vmid_last = 20199", "vmid_last = 20399"),
            CHAINWATCH_POLICY__TICK="often",
            CHAINWATCH_PROXMX__URL="https://x",
        )

    heading, *problems = str(refusal.value).splitlines()
    assert heading.endswith("chainwatch.toml cannot be used:")
    assert [problem.split(":")[0].strip() for problem in problems] == [
        "CHAINWATCH_PROXMX__URL",
        "installation.id",
        "proxmox.url",
        "machines",
        "policy.tick (from CHAINWATCH_POLICY__TICK)",
    ]


def test_a_refusal_says_what_to_write_instead(reading: Reading) -> None:
    with pytest.raises(Fatal, match=r'write for example url = "https://pve.example.net:8006"'):
        reading(("https://pve.", "http://pve."))


def test_a_refusal_never_shows_the_value(reading: Reading) -> None:
    with pytest.raises(Fatal) as refusal:
        reading(
            ("pve!daemon", f"pve!daemon={TOKEN}"),
            ("https://pve.", f"https://root:{TOKEN}@pve."),
            ("https://rpc.example.org", f"{TOKEN}://rpc"),
            ("[admin]", f'[admin]\ntoken = "{TOKEN}"'),
        )

    assert len(str(refusal.value).splitlines()) == 5
    assert TOKEN not in str(refusal.value)


def test_a_list_in_a_variable_that_is_not_json_is_refused(reading: Reading) -> None:
    with pytest.raises(Fatal, match=r"machines.tags \(from CHAINWATCH_MACHINES__TAGS\)"):
        reading(CHAINWATCH_MACHINES__TAGS="a,b")


def test_a_machine_without_any_address_is_refused(reading: Reading, example: str) -> None:
    addresses = example[example.index("[machines.ipv4]") : example.index("[admin]")]

    with pytest.raises(Fatal, match="machines: a machine needs an address"):
        reading((addresses, ""))


def test_one_kind_of_address_is_enough(reading: Reading, example: str) -> None:
    ipv4 = example[example.index("[machines.ipv4]") : example.index("[machines.ipv6]")]

    assert reading((ipv4, "")).machines.pool.ipv4 is None


@pytest.mark.parametrize(
    ("again", "sentence"),
    [
        ({"chain_id": 1}, "two sources have the same name"),
        ({"name": "other"}, "two sources read the same contract"),
    ],
)
def test_two_sources_differ_in_name_and_contract(
    reading: Reading, example: str, again: dict[str, object], sentence: str
) -> None:
    (source,) = tomllib.loads(example)["source"]

    with pytest.raises(Fatal, match=sentence):
        reading(CHAINWATCH_SOURCE=json.dumps([source, source | again]))


def test_a_missing_table_is_named(reading: Reading, example: str) -> None:
    proxmox = example[example.index("[proxmox]") : example.index("[machines]")]

    with pytest.raises(Fatal, match="proxmox: this table is missing"):
        reading((proxmox, ""))


# ------------------------------------------------------------------------------------------ secrets


def test_a_secret_that_nobody_provides_is_refused(reading: Reading, folder: Path) -> None:
    with pytest.raises(Fatal, match=r"proxmox\.token_file: is missing; write for example"):
        reading((f'token_file = "{folder}/proxmox-token"\n', ""))


def test_a_secret_that_everybody_may_read_is_refused(reading: Reading, folder: Path) -> None:
    (folder / "proxmox-token").chmod(0o604)

    with pytest.raises(Fatal, match=r"proxmox\.token_file: .* is open to everybody.*chmod o="):
        reading()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("proxmox-token", "", "holds no secret"),
        ("proxmox-token", f"a@pve!b={TOKEN}", "holds more than the token's secret"),
        ("identity-key", "far-too-short", "is shorter than 32 bytes"),
    ],
)
def test_a_file_that_holds_no_fitting_secret_is_refused(
    reading: Reading, folder: Path, name: str, content: str, sentence: str
) -> None:
    (folder / name).write_text(content)

    with pytest.raises(Fatal, match=sentence):
        reading()


def test_a_secret_file_that_does_not_exist_is_refused(reading: Reading, folder: Path) -> None:
    (folder / "identity-key").unlink()

    with pytest.raises(Fatal, match=r"identity_key_file: .*cannot be read \(No such file"):
        reading()


def test_no_secret_shows_in_the_settings(reading: Reading) -> None:
    shown = repr(reading())

    assert TOKEN not in shown
    assert KEY not in shown


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "cannot be read"), ("not a certificate", "holds no certificate in PEM form")],
)
def test_certificates_to_verify_against_have_to_exist(
    reading: Reading, folder: Path, content: str | None, sentence: str
) -> None:
    if content is not None:
        (folder / "ca.pem").write_text(content)

    with pytest.raises(Fatal, match=rf"proxmox\.ca_file .*: .*{sentence}"):
        reading(CHAINWATCH_PROXMOX__CA_FILE=str(folder / "ca.pem"))


# ----------------------------------------------------------------------------------------- the file


def test_a_file_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=r"nowhere\.toml cannot be read \(No such file"):
        load(tmp_path / "nowhere.toml", {})


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"[proxmox\n", r"is not TOML: .*line 1"), (b"\xff", "is not UTF-8")]
)
def test_a_file_that_is_not_toml_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "chainwatch.toml"
    path.write_bytes(content)

    with pytest.raises(Fatal, match=sentence):
        load(path, {})


def test_backups_before_a_destroy_want_a_storage(reading: Reading) -> None:
    assert reading().policy.backups is None
    on = {"CHAINWATCH_POLICY__ON_DESTROY": "backup"}
    with pytest.raises(Fatal, match=r"policy\.backup_storage: is missing"):
        reading(**on)
    config = reading(**on, CHAINWATCH_POLICY__BACKUP_STORAGE="vault")
    assert config.policy.backups == BackupPolicy("vault", "stop", 30 * 86_400)
