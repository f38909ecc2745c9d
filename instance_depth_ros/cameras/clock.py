"""Stamps of a device's own clock on the clock of this machine."""

from __future__ import annotations

GAIN = 0.02
SNAP_NS = 500_000_000


class DeviceClock:
    """The offset between a device's clock and the host's, low-passed, as USB delivers late and unevenly.

    An error beyond SNAP_NS (the device began anew, or its clock jumped) starts it afresh.
    """

    def __init__(self):
        self._offset_ns: int | None = None

    def host_ns(self, device_ns: int, arrived_ns: int) -> int:
        """The device's stamp on the host's clock; arrived_ns: when what bears it arrived, on that clock."""
        error_ns = arrived_ns - device_ns - (self._offset_ns or 0)
        if self._offset_ns is None or abs(error_ns) > SNAP_NS:
            self._offset_ns = arrived_ns - device_ns
        else:
            self._offset_ns += round(GAIN * error_ns)
        return device_ns + self._offset_ns
