"""What the configuration says of how machines are cloned, and what a wrong word is told."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from chainwatch.app.sites import copied, sold
from chainwatch.config import Config, load
from chainwatch.errors import Fatal
from provisioner.terms import LINKED, Cloning

EXAMPLE: Final = Path(__file__).parents[2] / "docs" / "reference" / "chainwatch.toml"
Reading = Callable[..., Config]


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    """The documented example, with texts replaced."""
    for name in ("proxmox-token", "identity-key"):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text("c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldA")

    def read(*changes: tuple[str, str]) -> Config:
        text = EXAMPLE.read_text()
        for old, new in changes:
            assert old in text, f"the example does not hold {old!r}"
            text = text.replace(old, new)
        path = tmp_path / "chainwatch.toml"
        path.write_text(text)
        return load(path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})

    return read


REFUSED: Final = [
    (
        "template_vms = [9000]",
        'template_vms = [9000]\nclone_storage = "san"',
        'machines.clone_storage: goes with clone = "full"',
    ),
    (
        "[admin]",
        '[[plans]]\nname = "x"\nclone_storage = "san"\n[admin]',
        'plans[0].clone_storage: goes with clone = "full"',
    ),
    (
        "[admin]",
        '[[plans]]\nname = "x"\nclone = "thin"\n[admin]',
        "plans[0].clone: should be 'linked' or 'full'",
    ),
]


@pytest.mark.parametrize(("old", "new", "sentence"), REFUSED)
def test_what_cannot_be_is_refused_by_the_path_of_its_key(
    reading: Reading, old: str, new: str, sentence: str
) -> None:
    with pytest.raises(Fatal) as refusal:
        reading((old, new))
    assert sentence in str(refusal.value)


def test_how_machines_are_cloned_is_for_all_or_for_a_plan(reading: Reading) -> None:
    assert reading().machines.cloning == LINKED
    whole = 'template_vms = [9000]\nclone = "full"\nclone_storage = "san"'
    plans = '[[plans]]\nname = "x"\nclone = "linked"\ncontainer_storage = "fast"\n[admin]'
    config = reading(("template_vms = [9000]", whole), ("[admin]", plans))
    assert config.machines.cloning == Cloning(full=True, storage="san")
    (rule,) = config.plans.rules
    assert (rule.terms.cloning, rule.terms.container_storage) == (LINKED, "fast")
    sold_there = sold(config)
    assert sold_there.storages == ("san", "fast")
    assert sold_there.linked == {9000}
    assert copied(config)
    assert not copied(reading())
