"""The keys that say how the nodes are reached over SSH, where they are."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field, PlainValidator

from chainwatch.config.table import Table
from chainwatch.config.values import host_lines, node_key
from chainwatch.credentials import Secret

#: A host key as it stands in a node's /etc/ssh/ssh_host_ed25519_key.pub; nobody's.
SOME_HOST_KEY: Final = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILXVTDnmZnHJcxufRx5YXYJizU9Ulj8Mkwgtjc8zTUx4"
)


class NodesSsh(Table):
    """The nodes over SSH: who we are there, and how we know them."""

    user: str = Field(
        default="root",
        pattern=r"^[a-z_][a-z0-9_-]{0,31}$",
        description="Account on the nodes whose authorized_keys forces our key to the helper.",
        examples=["root"],
    )
    port: int = Field(
        default=22, gt=0, le=65_535, description="Port of their SSH servers.", examples=[22]
    )
    key_file: Annotated[Secret, PlainValidator(node_key)] = Field(
        description="File with our private SSH key, without a passphrase, from `ssh-keygen -t "
        "ed25519 -N ''`. Not needed where systemd provides the credential `node-key`.",
        examples=["/etc/chainwatch/credentials/node-key"],
    )
    known_hosts: Annotated[tuple[str, ...], AfterValidator(host_lines)] = Field(
        description="A line for each node and host key: NODE ADDRESS TYPE KEY, with the address as "
        "`[HOST]:PORT` where the port is another. A node without a line is not reached over SSH.",
        examples=[
            [
                f"pve1 192.0.2.11 {SOME_HOST_KEY}",
            ]
        ],
    )
    snippets: str = Field(
        default="/var/lib/vz/snippets",
        pattern=r"^(/[A-Za-z0-9._-]+)+$",
        description="Folder on the nodes in which `snippet_storage` keeps its snippets.",
        examples=["/var/lib/vz/snippets"],
    )
    snippet_storage: str = Field(
        default="local",
        pattern=r"^[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]$",
        description="Storage with content type `snippets` that the machines' cloud-init is read "
        "from.",
        examples=["local"],
    )
    isolate: bool = Field(
        default=False,
        description="Isolate the machines' ports on their bridge from each other, after every "
        "start.",
        examples=[True],
    )
