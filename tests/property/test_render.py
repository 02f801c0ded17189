"""Whatever a buyer calls himself or his key, it is a value in his user-data, or it is refused."""

import re
import tomllib
from typing import Final

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import DictLoader

from provisioner import render
from provisioner.errors import Permanent
from provisioner.render import LAST_TOKEN, GuestFacts, Wallet, gecos, names, user_data

KEY: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILXVTDnmZnHJcxufRx5YXYJizU9Ulj8Mkwgtjc8zTUx4 a@b"
ADDRESS: Final = "0x" + "aB" * 20
WALLET: Final = Wallet(ADDRESS, 42, "eip155:8453/erc721:0xaB/42#5a0f", "https://[2001:db8::1]:8443")

#: Texts that mean something to YAML, TOML, Jinja, a shell, sshd, passwd(5) or a terminal.
NASTY: Final = st.sampled_from(
    [
        *(
            '"',
            "'",
            "\\",
            "\n",
            "\r\n",
            "\0",
            "\x1b[2J",
            "\x85",
            "\u2028",
            "\ufeff",
            "\ud800",
            "💥",
        ),
        *("a: b", "- a", "{a: b}", "[a]", "#c", "&a", "*a", "!!python/object/apply:os.system [id]"),
        *("---", "...", "%YAML", "|", ">", "~", "null", "yes", "1e3", "0x10", "=", "<<: *x"),
        *("{{ user }}", "{% raw %}", "{#", "token-user-0", "$(id)", "`id`", ";id", "a:b", "a,b=c"),
        *("../x", "-o", "x" * 5000, 'command="id" ', "root:x:0:0::/root:/bin/sh", '"\n[auth]\n'),
    ]
)
TEXTS: Final = st.one_of(
    st.text(max_size=40), NASTY, st.tuples(NASTY, st.text(), NASTY).map("".join)
)
TEMPLATES: Final = st.sampled_from(names())


def test_there_is_a_template_for_everything_that_is_promised() -> None:
    assert set(names()) == {"base", "nft-auth", "webserver", "devbox"}


@pytest.mark.parametrize("template", names())
def test_every_template_makes_one_account_without_any_password(template: str) -> None:
    data = render._yaml(user_data(template, GuestFacts("lease-42", "tenant", KEY, WALLET)))
    (account,) = data["users"]
    assert account["name"] == "tenant"
    assert account["ssh_authorized_keys"] == [KEY]
    assert account["gecos"] == f"wallet={ADDRESS},nft=42"
    assert account["lock_passwd"] is True
    assert data["ssh_pwauth"] is False
    assert data["ssh_deletekeys"] is True
    assert "qemu-guest-agent" in data["packages"]
    sshd = next(file for file in data["write_files"] if "sshd_config.d" in file["path"])
    assert "PasswordAuthentication no\n" in sshd["content"]
    assert not {"passwd", "plain_text_passwd", "hashed_passwd"} & set(account)


def test_a_wallets_login_is_bound_to_the_machine_and_to_nothing_that_is_printed() -> None:
    data = render._yaml(user_data("nft-auth", GuestFacts("lease-42", "tenant", "", WALLET)))
    files = {file["path"]: file for file in data["write_files"]}
    config = tomllib.loads(files["/etc/pam_web3/config.toml"]["content"])
    assert config == {
        "auth": {"signing_url": WALLET.signing_url, "otp_length": 6, "otp_ttl_seconds": 300},
        "machine": {"id": WALLET.machine_id},
    }
    assert files["/etc/pam_web3/config.toml"]["permissions"] == "0600"
    sshd = files["/etc/ssh/sshd_config.d/10-chainwatch.conf"]["content"]
    assert "AuthenticationMethods keyboard-interactive\n" in sshd
    assert "secret_key" in data["runcmd"][1][2]


def test_a_wallets_login_without_a_wallet_is_refused() -> None:
    with pytest.raises(Permanent, match="nft-auth"):
        user_data("nft-auth", GuestFacts("lease-42", "tenant", KEY))


@given(TEMPLATES, TEXTS, TEXTS, TEXTS)
def test_hostile_names_and_keys_are_values_or_refused(
    template: str, hostname: str, user: str, keys: str
) -> None:
    plain = render._yaml(user_data(template, GuestFacts("h", "u", KEY, WALLET)))
    for facts in (
        GuestFacts(hostname, "u", KEY, WALLET),
        GuestFacts("h", user, KEY, WALLET),
        GuestFacts("h", "u", keys, WALLET),
        GuestFacts("h", "u", f"{KEY}\n{keys}", WALLET),
    ):
        try:
            text = user_data(template, facts)
        except Permanent:
            continue
        data = render._yaml(text)
        assert text.isascii()
        assert data["hostname"] == facts.hostname
        assert data["users"][0]["name"] == facts.user
        lines = [line.strip(" \r") for line in facts.keys.split("\n") if line.strip(" \r")]
        assert data["users"][0]["ssh_authorized_keys"] == lines
        data["hostname"] = "h"
        data["users"][0] |= {"name": "u", "ssh_authorized_keys": [KEY]}
        assert data == plain


@given(TEXTS, st.integers(-(2**260), 2**260), TEXTS, TEXTS)
def test_hostile_wallets_are_values_or_refused(
    address: str, token: int, machine_id: str, signing_url: str
) -> None:
    plain = render._yaml(user_data("nft-auth", GuestFacts("h", "u", KEY, WALLET)))
    for wallet in (
        Wallet(address, 42, WALLET.machine_id, WALLET.signing_url),
        Wallet(ADDRESS, token, WALLET.machine_id, WALLET.signing_url),
        Wallet(ADDRESS, 42, machine_id, WALLET.signing_url),
        Wallet(ADDRESS, 42, WALLET.machine_id, signing_url),
    ):
        try:
            data = render._yaml(user_data("nft-auth", GuestFacts("h", "u", KEY, wallet)))
        except Permanent:
            continue
        field = data["users"][0]["gecos"]
        assert re.fullmatch(r"wallet=0x[0-9a-fA-F]{40},nft=[0-9]{1,78}", field)
        config = tomllib.loads(data["write_files"][1]["content"])
        assert config["machine"] == {"id": wallet.machine_id}
        assert config["auth"]["signing_url"] == wallet.signing_url
        data["users"][0]["gecos"] = plain["users"][0]["gecos"]
        data["write_files"][1]["content"] = plain["write_files"][1]["content"]
        assert data == plain


@given(TEXTS, st.lists(TEXTS).map(tuple))
def test_any_text_comes_back_from_yaml_and_from_toml_as_it_went_in(
    text: str, texts: tuple[str, ...]
) -> None:
    quoted = render._quoted(texts)
    assert yaml.safe_load(f"a: {render._quoted(text)}\nb: {quoted}") == {"a": text, "b": [*texts]}
    if not any("\ud800" <= character <= "\udfff" for character in "".join((text, *texts))):
        assert tomllib.loads(f"a = {render._quoted(text)}\nb = {quoted}") == {
            "a": text,
            "b": [*texts],
        }


@pytest.mark.parametrize("token", [0, 1, 2**64, LAST_TOKEN])
def test_every_token_there_can_be_fits_into_the_gecos_field(token: int) -> None:
    assert gecos(ADDRESS, token) == f"wallet={ADDRESS},nft={token}"
    for beyond in (-1, LAST_TOKEN + 1):
        with pytest.raises(Permanent, match="no token id"):
            gecos(ADDRESS, beyond)


@pytest.mark.parametrize(
    "template",
    [
        "a: |\n  user={{ user }}\n",  # in the middle of a text
        "{{ user }}: a\n",  # the name of a key
        "a: '{{ user }}'\n",  # quoted twice
        "a: x # {{ user }}\nb: {{ nobody }}\n",  # something that was not given
        "a: {{ user | length }}\n",  # something computed
    ],
)
def test_a_template_that_would_splice_a_value_is_refused_whatever_the_value(
    template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = render._environment().overlay(loader=DictLoader({"bad": template}))
    monkeypatch.setattr(render, "_environment", lambda: environment)
    with pytest.raises(Permanent):
        render._filled("bad", {"user": "tenant"}, yaml.safe_load)


def test_a_template_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(Permanent, match="base, devbox, nft-auth, webserver"):
        user_data("../etc/passwd", GuestFacts("h", "u", KEY))
