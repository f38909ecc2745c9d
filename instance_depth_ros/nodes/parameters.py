"""The settings of config.py as ROS parameters: described, bounded, and either live or refused with the reason."""

from __future__ import annotations

from types import SimpleNamespace

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterValueException

from ..config import Setting, for_node


def descriptor(setting: Setting) -> ParameterDescriptor:
    """What `ros2 param describe` shows. Typing is dynamic so that a YAML file may say 80 for 80.0."""
    text = setting.help + (f" [{setting.unit}]" if setting.unit else "")
    described = ParameterDescriptor(description=text, dynamic_typing=True)
    if setting.choices:
        described.additional_constraints = "one of " + setting.allowed
    if not setting.live:
        described.additional_constraints += "; acts at the next start" if setting.choices else "acts at the next start"
    if setting.bounds and isinstance(setting.default, float):
        described.floating_point_range = [FloatingPointRange(from_value=setting.bounds[0], to_value=setting.bounds[1])]
    elif setting.bounds and isinstance(setting.default, int):
        low, high = (int(bound) for bound in setting.bounds)
        described.integer_range = [IntegerRange(from_value=low, to_value=high)]
    return described


def check(setting: Setting, value):
    """Setting.check for what YAML may bring: `camera_path: 0` arrives as a number."""
    if isinstance(setting.default, str) and isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    return setting.check(value)


class Parameters:
    """Declares a node's settings and keeps `settings` (a namespace read each frame) in step with them.

    locked() says whether settings that act only at the start are in use now. ValueError names a bad override.
    """

    def __init__(self, node, room: str, locked=lambda: True):
        self.settings = SimpleNamespace()
        self._known = {setting.name: setting for setting in for_node(room)}
        self._locked = locked
        for name, setting in self._known.items():
            try:
                value = node.declare_parameter(name, setting.default, descriptor(setting)).value
            except InvalidParameterValueException as error:
                raise ValueError(str(error)) from None
            setattr(self.settings, name, check(setting, value))
        node.add_on_set_parameters_callback(self._set)

    def _set(self, parameters) -> SetParametersResult:
        """All or nothing, as SetParametersAtomically promises."""
        try:
            values = {p.name: self._checked(p) for p in parameters if p.name in self._known}
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        for name, value in values.items():
            setattr(self.settings, name, value)
        return SetParametersResult(successful=True)

    def _checked(self, parameter):
        setting = self._known[parameter.name]
        value = check(setting, parameter.value)
        if not setting.live and self._locked() and value != getattr(self.settings, parameter.name):
            raise ValueError(f"{parameter.name} acts at the next start: give it there, or configure the node anew")
        return value
