"""Secrets that systemd provides, as the keys of the file that name them, see systemd.exec(5).

A credential stands in for a key that the file does not write, so that one configuration serves with
files and with credentials alike. How it fails: what is not there is not named, and the key that
wants it is missing as if there were no systemd.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Final

#: What of a hot key may be one chain's alone: `key_file` is the credential `sender-key-CHAIN_ID`.
_KEYS_OF_CHAINS: Final = ("key", "keystore", "password")


def credentials(environ: Mapping[str, str]) -> dict[str, object]:
    """Return the keys that systemd's credentials stand in for, see systemd.exec(5)."""
    keys = {
        "identity-key": ("installation", "identity_key_file"),
        "proxmox-token": ("proxmox", "token_file"),
        "node-key": ("nodes_ssh", "key_file"),
        "sender-key": ("sender", "key_file"),
        "sender-keystore": ("sender", "keystore_file"),
        "sender-password": ("sender", "password_file"),
    }
    folder, found = environ.get("CREDENTIALS_DIRECTORY"), defaultdict[str, dict[str, Path]](dict)
    for name, (table, key) in keys.items():
        if folder and Path(folder, name).exists():
            found[table][key] = Path(folder, name)
    return {**found}


def with_keys_of_chains(
    written: dict[str, object], environ: Mapping[str, str]
) -> dict[str, object]:
    """Return what is written, with the credentials that are named after a chain in its table."""
    sender, folder = written.get("sender"), environ.get("CREDENTIALS_DIRECTORY")
    chains = sender.get("chains") if isinstance(sender, dict) else None
    if not isinstance(sender, dict) or not isinstance(chains, list) or not folder:
        return written

    def completed(table: object) -> object:
        chain = table.get("chain_id") if isinstance(table, dict) else None
        if not isinstance(table, dict) or not isinstance(chain, int):
            return table
        if any(f"{key}_file" in table for key in _KEYS_OF_CHAINS):
            return table
        named = {key: Path(folder, f"sender-{key}-{chain}") for key in _KEYS_OF_CHAINS}
        return table | {f"{key}_file": path for key, path in named.items() if path.exists()}

    return written | {"sender": sender | {"chains": [*map(completed, chains)]}}
