"""What a guest says of its host keys is told to its owner only as far as it is any."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.hostkeys import LONGEST, host_keys

GOOD = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILXVTDnmZnHJcxufRx5YXYJizU9Ulj8Mkwgtjc8zTUx4"


def test_a_key_is_told_without_its_comment_and_once() -> None:
    assert host_keys([f"{GOOD} root@somewhere\n", GOOD]) == (GOOD,)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "ssh-ed25519 !!!!",
        f"no-pty {GOOD}",
        f"\n{GOOD}",
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAB",
        "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519" + b"x" * 400).decode(),
    ],
)
def test_what_is_no_short_key_of_a_known_type_is_left_out(said: str) -> None:
    assert host_keys([said]) == ()


@given(st.lists(st.text(max_size=2 * LONGEST) | st.just(GOOD), max_size=3))
def test_whatever_it_says_what_is_told_is_short_and_one_line_each(files: list[str]) -> None:
    for key in host_keys(files):
        assert len(key) < LONGEST
        assert key.isascii()
        assert key.count(" ") == 1
        assert key.isprintable()
