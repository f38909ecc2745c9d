"""Heat, power and throttling as Linux tells of them under /sys; on boards such as a Jetson they decide the speed.

Sources: the kernel's documentation of thermal (sysfs-api), cpufreq and hwmon/ina3221, the power monitor of Jetsons.
"""

from __future__ import annotations

from pathlib import Path

from .sysfs import text

# A fan that turns slows nothing.
SLOWING = ("cpu", "gpu", "processor", "devfreq", "powerclamp")


def health(root: str | Path = "/") -> dict[str, float | str]:
    """What of it is there, as values for diagnostics; root: a folder that holds sys/ and var/.

    temperature_c_<zone>; power_w_<rail>; cpu_mhz and cpu_mhz_limit, cpu_mhz_most (of the first core), of which a lower
    limit means that something holds it back; slowed_by: cooling devices in action, 'nothing'; power_mode: of nvpmodel.
    """
    sys, values = Path(root) / "sys", {}
    for zone in sorted(sys.glob("class/thermal/thermal_zone*")):
        if (temperature := _number(zone / "temp")) is not None:
            values[f"temperature_c_{text(zone / 'type') or zone.name}"] = temperature / 1e3
    for label in sorted(sys.glob("bus/i2c/drivers/ina3221/*/hwmon/hwmon*/in[123]_label")):
        channel = label.name[2]
        millivolts, milliamperes = (_number(label.with_name(f"{kind}{channel}_input")) for kind in ("in", "curr"))
        if millivolts is not None and milliamperes is not None:
            values[f"power_w_{text(label)}"] = millivolts * milliamperes / 1e6
    for name, file in (("", "scaling_cur_freq"), ("_limit", "scaling_max_freq"), ("_most", "cpuinfo_max_freq")):
        if (kilohertz := _number(sys / "devices/system/cpu/cpu0/cpufreq" / file)) is not None:
            values[f"cpu_mhz{name}"] = kilohertz / 1e3
    coolers = {cooler: text(cooler / "type") for cooler in sorted(sys.glob("class/thermal/cooling_device*"))}
    slowing = [c for c, kind in coolers.items() if any(word in kind.lower() for word in SLOWING)]
    if slowing:
        values["slowed_by"] = ", ".join(coolers[c] for c in slowing if (_number(c / "cur_state") or 0) > 0) or "nothing"
    if mode := text(Path(root) / "var/lib/nvpmodel/status"):
        values["power_mode"] = mode.removeprefix("pmode:")
    return values


def _number(file: Path) -> float | None:
    try:
        return float(text(file))
    except ValueError:
        return None
