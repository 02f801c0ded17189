"""The executables on the PATH, one for each verb that other engines call."""

from provisioner.cli.main import alone


def create() -> int:
    return alone("create")


def destroy() -> int:
    return alone("destroy")


def start() -> int:
    return alone("start")


def stop() -> int:
    return alone("stop")


def kill() -> int:
    return alone("kill")


def status() -> int:
    return alone("status")


def listing() -> int:
    return alone("list")


def metrics() -> int:
    return alone("metrics")


def throttle() -> int:
    return alone("throttle")


def build_template() -> int:
    return alone("build-template")


def gc() -> int:
    return alone("gc")


def resume() -> int:
    return alone("resume")


def update_gecos() -> int:
    return alone("update-gecos")


def guest_exec() -> int:
    return alone("guest-exec")
