"""What may go wrong on the way to Proxmox, drawn by chance."""

from typing import Final

from hypothesis import strategies as st

from provisioner.simulator.faults import Fault, FaultName

_READ: Final = ("GET", "*")
_GUEST: Final = "/nodes/pve/qemu/2????"
_WRITES: Final = (
    ("POST", "*/clone"),
    ("PUT", f"{_GUEST}/config"),
    ("PUT", f"{_GUEST}/resize"),
    ("POST", f"{_GUEST}/status/*"),
    ("POST", f"{_GUEST}/agent/*"),
    ("DELETE", f"{_GUEST}*"),
)
_TASKS: Final = (*_WRITES[0:1], *_WRITES[2:4], ("DELETE", _GUEST))
_SLOW: Final = (_READ, *_WRITES[:3], ("POST", f"{_GUEST}/status/start"))

faults = st.one_of(
    st.builds(
        lambda name, call, nth: Fault(name, call[0], call[1], nth=nth),
        st.sampled_from(
            (
                FaultName.REFUSE,
                FaultName.LOSE_REPLY,
                FaultName.UNREACHABLE,
                FaultName.PROXY_DOWN,
                FaultName.PROXY_BROKEN,
                FaultName.HTML,
            )
        ),
        st.sampled_from((_READ, *_WRITES)),
        st.integers(1, 4),
    ),
    st.builds(
        lambda call, text: Fault(FaultName.TASK_FAILS, call[0], call[1], text=text),
        st.sampled_from(_TASKS),
        st.sampled_from(
            ("unexpected status", "interrupted by signal", "No space left on device", "whatever")
        ),
    ),
    st.builds(lambda call: Fault(FaultName.TASK_WARNS, call[0], call[1]), st.sampled_from(_TASKS)),
    st.builds(
        lambda call, seconds: Fault(FaultName.HANG, call[0], call[1], seconds=seconds),
        st.sampled_from(_SLOW),
        st.sampled_from((20.0, 40.0)),
    ),
    st.builds(
        lambda path: Fault(FaultName.EMPTY, path=path),
        st.sampled_from(("/cluster/resources", "/cluster/status")),
    ),
    st.builds(
        lambda call: Fault(FaultName.REFUSE, call[0], call[1], status=401), st.sampled_from(_WRITES)
    ),
)
