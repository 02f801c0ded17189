"""The command line's settings: read once, checked whole, and shared with a daemon's file."""

import os
from collections.abc import Mapping
from pathlib import Path

import asyncssh
import pytest

from provisioner.configuration import Misconfigured, load, template_settings
from provisioner.keys import KEYS, as_toml
from provisioner.terms import LINKED, Cloning

ROOT = Path(__file__).parents[2]
IDENTITY = "i" * 40


@pytest.fixture
def secrets(tmp_path: Path) -> Mapping[str, str]:
    """Systemd's folder of credentials."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    for name, value in (("proxmox-token", "tttttttt"), ("identity-key", IDENTITY)):
        (folder / name).write_text(f"{value}\n")
        (folder / name).chmod(0o400)
    return {"CREDENTIALS_DIRECTORY": str(folder)}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "provisioner.toml"
    path.write_text(text)
    return path


PLAIN = """
[installation]
id = "berlin-1"
[proxmox]
url = "https://pve.example.net:8006"
token_id = "chainwatch@pve!provisioner"
[machines]
vmid_first = 20000
vmid_last = 20049
template_vms = [9001]
nameserver = "203.0.113.1"
[machines.ipv4]
first = "203.0.113.10/24"
gateway = "203.0.113.1"
"""


def test_the_shortest_file_is_enough(tmp_path: Path, secrets: Mapping[str, str]) -> None:
    settings = load(written(tmp_path, PLAIN), secrets)
    assert (settings.endpoint.host, settings.endpoint.port) == ("pve.example.net", 8006)
    assert settings.endpoint.token_secret == "tttttttt"
    assert settings.site.signer.secret == IDENTITY.encode()
    assert settings.site.pool.size == 50
    assert settings.proxmox.templates == (9001,)
    assert (settings.grace_days, settings.result_prefix) == (7, "")
    assert settings.site.user == "admin"


def test_every_key_may_be_written_as_its_example(
    tmp_path: Path, secrets: Mapping[str, str]
) -> None:
    tables: dict[str, list[str]] = {}
    for name, key in KEYS.items():
        if not name.endswith("_file"):
            tables.setdefault(name.rpartition(".")[0], []).append(key.line)
    text = "".join(f"[{table}]\n" + "\n".join(lines) + "\n" for table, lines in tables.items())
    private = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    settings = load(written(tmp_path, text), {**secrets, "PROVISIONER_NODE_KEY": private})
    assert settings.nodes is not None
    assert list(settings.nodes.doors) == ["pve1"]
    assert "PRIVATE KEY" not in repr(settings)
    assert settings.proxmox.container_storage == "local-lvm"
    assert settings.limits.nodes == {"pve1", "pve2"}
    assert settings.result_prefix == "BLOCKHOST_RESULT: "


def test_the_nodes_key_is_wanted_in_a_file_of_our_own_and_looked_at(
    tmp_path: Path, secrets: Mapping[str, str]
) -> None:
    line = KEYS["nodes_ssh.known_hosts"].line
    text = f"{PLAIN}[nodes_ssh]\n{line}\n"
    with pytest.raises(Misconfigured, match=r"nodes_ssh\.key_file: is missing"):
        load(written(tmp_path, text), secrets)
    with pytest.raises(Misconfigured, match=r"nodes_ssh\.key_file: holds no private SSH key"):
        load(written(tmp_path, text), {**secrets, "PROVISIONER_NODE_KEY": "nonsense"})
    assert load(written(tmp_path, f"{text}[[source]]\n"), secrets).nodes is None


def test_routes_on_nodes_want_the_way_to_them(tmp_path: Path, secrets: Mapping[str, str]) -> None:
    lines = [KEYS[f"machines.ipv6.{key}"].line for key in ("first", "gateway", "host_routes")]
    text = f"{PLAIN}[machines.ipv6]\n" + "\n".join(lines) + "\n"
    with pytest.raises(Misconfigured, match=r"host_routes: a node is told of it over SSH"):
        load(written(tmp_path, text), secrets)
    text = text.replace("host_routes = true", 'host_routes = "yes"')
    with pytest.raises(Misconfigured, match=r"host_routes: is neither true nor false"):
        load(written(tmp_path, text), secrets)


def test_an_archive_without_a_storage_is_refused(
    tmp_path: Path, secrets: Mapping[str, str]
) -> None:
    text = PLAIN.replace("[machines]", f"[machines]\n{KEYS['machines.os_template'].line}")
    with pytest.raises(Misconfigured, match="write both or neither"):
        load(written(tmp_path, text), secrets)


def test_machines_are_linked_clones_unless_whole_copies_are_asked_for(
    tmp_path: Path, secrets: Mapping[str, str]
) -> None:
    assert load(written(tmp_path, PLAIN), secrets).site.cloning == LINKED
    storage = KEYS["machines.clone_storage"].line
    text = PLAIN.replace("[machines]", f"[machines]\n{storage}")
    with pytest.raises(Misconfigured, match=r"goes with machines\.clone"):
        load(written(tmp_path, text), secrets)
    text = text.replace("[machines]", '[machines]\nclone = "full"')
    assert load(written(tmp_path, text), secrets).site.cloning == Cloning(full=True, storage="san")


def test_secrets_come_from_files_and_variables_too(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(IDENTITY)
    key.chmod(0o600)
    text = PLAIN.replace('id = "berlin-1"', f'id = "berlin-1"\nidentity_key_file = "{key}"')
    settings = load(written(tmp_path, text), {"PROVISIONER_PROXMOX_TOKEN": "fromtheenvironment"})
    assert settings.endpoint.token_secret == "fromtheenvironment"
    assert "fromtheenvironment" not in repr(settings)
    assert IDENTITY not in repr(settings)


def test_a_secret_that_everybody_may_read_is_refused_and_not_shown(
    tmp_path: Path, secrets: Mapping[str, str]
) -> None:
    Path(secrets["CREDENTIALS_DIRECTORY"], "identity-key").chmod(0o644)
    with pytest.raises(Misconfigured, match="open to everybody") as refused:
        load(written(tmp_path, PLAIN), secrets)
    assert IDENTITY not in str(refused.value)


def test_everything_that_is_wrong_is_said_at_once_with_an_example(
    tmp_path: Path,
) -> None:
    text = PLAIN.replace("20000", '"many"').replace("https://", "http://").replace("[9001]", "[]")
    with pytest.raises(Misconfigured) as refused:
        load(written(tmp_path, text + "\n[commands]\ngrace = 7\n"), {})
    said = str(refused.value)
    for line in (
        "machines.vmid_first: is not a number from 100 on; write for example vmid_first = 20000",
        'proxmox.url: is not a text of the form expected here; write for example url = "https',
        "commands.grace: there is no such key; did you mean commands.grace_days?",
        "proxmox.token_file: is missing; write for example",
        "or set PROVISIONER_PROXMOX_TOKEN",
    ):
        assert line in said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[9001]", "[]", "names no template"),
        ("[9001]", "[20001]", "names a VMID of vmid_first to vmid_last"),
        ("20049", "29999", "has no room for"),
        ("203.0.113.10/24", "2001:db8::1/64", "is not an IPv4 address"),
        ("203.0.113.10/24", "nonsense", "machines: 'nonsense'"),
        ("vmid_first = 20000", "", "vmid_first: is missing"),
        ("berlin-1", "Berlin", "installation.id: is not a text"),
        ("[installation]", "installation]", "is not TOML"),
    ],
)
def test_a_mistake_has_its_sentence(
    tmp_path: Path, secrets: Mapping[str, str], old: str, new: str, said: str
) -> None:
    with pytest.raises(Misconfigured, match=said):
        load(written(tmp_path, PLAIN.replace(old, new)), secrets)


def test_a_daemons_file_serves_and_its_own_keys_are_passed_over(
    secrets: Mapping[str, str],
) -> None:
    """The example of the daemon's reference, whose secrets come from elsewhere."""
    text = (ROOT / "docs/reference/chainwatch.toml").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip("# ").startswith(("ca_file",))]
    kept = "\n".join(line for line in lines if "_file =" not in line)
    path = written(Path(secrets["CREDENTIALS_DIRECTORY"]), kept)
    assert load(path, secrets).site.pool.size > 0


def test_a_template_is_described_without_any_secret(tmp_path: Path) -> None:
    path = written(tmp_path, '[template]\nimage = "/root/x.qcow2"\nvmid = 9100\n')
    told = template_settings(path)
    assert (told["image"], told["vmid"], told["storage"]) == ("/root/x.qcow2", 9100, "local-lvm")
    with pytest.raises(Misconfigured, match=r"template\.vmid"):
        template_settings(written(tmp_path, "[template]\nvmid = 1\n"))


def test_a_value_is_written_as_toml_has_it() -> None:
    assert as_toml(("a", "b")) == '["a", "b"]'
    assert as_toml(7) == "7"
    assert os.sep not in as_toml(1.5)
