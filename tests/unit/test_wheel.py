"""What is packed is what runs: the wheel, installed elsewhere, has its data and its command.

In a checkout everything is found because it lies there. Only a wheel tells whether a package or a
data file was forgotten, and whether something was packed that nobody wants.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner import __version__

ROOT = Path(__file__).resolve().parents[2]
DATA = {"chainwatch_contracts": "contracts/artifacts", "provisioner_templates": "templates"}
READ = """
import functools, importlib.resources, operator, sys
package, *parts = sys.argv[1].split("/")
file = functools.reduce(operator.truediv, parts, importlib.resources.files(package))
sys.stdout.buffer.write(file.read_bytes())
"""


def run(*command: str | Path, cwd: Path) -> bytes:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return done.stdout


def packed_data() -> Iterator[tuple[str, Path]]:
    """Each data file that belongs into the wheel: its name in there, and where it comes from."""
    for package, folder in DATA.items():
        for file in sorted((ROOT / folder).rglob("*")):
            if file.is_file():
                within = file.relative_to(ROOT / folder.split("/")[0])
                yield f"{package}/{within}", file
    for file in sorted((ROOT / "chainwatch").rglob("*.sql")):
        yield str(file.relative_to(ROOT)), file
    yield "provisioner/provisioner.json", ROOT / "provisioner" / "provisioner.json"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that the checkout stays as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    leave_out = shutil.ignore_patterns(".*", "node_modules", "build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, symlinks=True, ignore=leave_out)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps")
    run(*pip, "--no-index", "--no-build-isolation", "-w", folder, source, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel and this one's libraries, but without the checkout."""
    folder = tmp_path_factory.mktemp("elsewhere")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", folder)
    run(*pip, "install", "--no-index", "--no-deps", wheel, cwd=folder)
    installed = next((folder / "lib").glob("python*")) / "site-packages"
    (installed / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def test_every_package_and_every_data_file_is_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    code = {
        str(file.relative_to(ROOT))
        for package in ("chainwatch", "provisioner")
        for file in (ROOT / package).rglob("*.py")
    }
    assert code | {name for name, _ in packed_data()} <= names


def test_nothing_else_is_in_the_wheel(wheel: Path) -> None:
    data = {name for name, _ in packed_data()}
    strangers = [
        name
        for name in zipfile.ZipFile(wheel).namelist()
        if name not in data
        and not name.startswith(f"chainwatch-{__version__}.dist-info/")
        and not (
            name.startswith(("chainwatch/", "provisioner/")) and name.endswith((".py", ".typed"))
        )
    ]
    assert strangers == []


@pytest.mark.parametrize(("name", "file"), list(packed_data()))
def test_a_data_file_is_read_from_the_wheel_as_it_was_packed(
    name: str, file: Path, elsewhere: Path
) -> None:
    assert run(elsewhere / "bin" / "python", "-c", READ, name, cwd=elsewhere) == file.read_bytes()


def test_the_code_that_runs_there_is_the_wheel_s(elsewhere: Path) -> None:
    where = "import chainwatch, provisioner; print(chainwatch.__file__, provisioner.__file__)"
    for file in run(elsewhere / "bin" / "python", "-c", where, cwd=elsewhere).decode().split():
        assert Path(file).is_relative_to(elsewhere)


def test_the_command_is_there_and_knows_its_version(elsewhere: Path) -> None:
    said = run(elsewhere / "bin" / "chainwatch", "--version", cwd=elsewhere).decode()
    assert __version__ in said
