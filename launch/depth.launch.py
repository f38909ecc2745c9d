"""ros2 launch instance_depth_ros depth.launch.py: what runs is decided in instance_depth_ros.graph."""

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from instance_depth_ros import config, graph
from instance_depth_ros.shared import shared_file
from launch import LaunchDescription

SETTINGS = ("camera", "camera_path", "weights", "engine", "instances", "record_folder", "record_profile")
YES_OR_NO = ("true", "false")
PARAMS = (
    "ROS parameter YAML file for all other settings; an argument at its default does not overrule the file, and only "
    "the camera argument brings a camera node"
)


def generate_launch_description():
    arguments = [_setting_argument(config.BY_NAME[name]) for name in SETTINGS]
    arguments += [
        DeclareLaunchArgument("namespace", default_value="", description="moves all topics and nodes under this name"),
        DeclareLaunchArgument("cameras", default_value="", description=graph.CAMERAS),
        DeclareLaunchArgument("remap", default_value="", description=graph.REMAP),
        DeclareLaunchArgument("viewer", default_value="false", choices=YES_OR_NO, description="Rerun's page as well"),
        DeclareLaunchArgument("record", default_value="false", choices=YES_OR_NO, description="a bag of it as well"),
        DeclareLaunchArgument("rviz", default_value="false", choices=YES_OR_NO, description="RViz as well"),
        DeclareLaunchArgument("params", default_value="", description=PARAMS),
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_nodes)])


def _setting_argument(setting):
    choices = {"choices": setting.choices} if setting.choices else {}
    return DeclareLaunchArgument(setting.name, default_value=str(setting.default), description=setting.help, **choices)


def _nodes(context):
    given = {name: LaunchConfiguration(name).perform(context) for name in SETTINGS}
    namespace, viewer, record, rviz, params, cameras, remap = (
        LaunchConfiguration(name).perform(context)
        for name in ("namespace", "viewer", "record", "rviz", "params", "cameras", "remap")
    )
    files, remaps = (params,) if params else (), remap.split()
    specs = graph.nodes(_not_default(given), namespace, viewer == "true", files, cameras, remaps, record == "true")
    actions = [_action(spec) for spec in specs]
    if rviz == "true":
        view = ["-d", str(shared_file("config/depth.rviz"))]
        actions.append(Node(package="rviz2", executable="rviz2", namespace=namespace, arguments=view))
    return actions


def _not_default(given):
    """A launch argument left alone must not overrule the params file."""
    return {name: value for name, value in given.items() if value != str(config.BY_NAME[name].default)}


def _action(spec):
    # a name or namespace given here would be that of every node in the process
    where = {} if spec.cameras else {"name": spec.name, "namespace": spec.namespace}
    # a bag with much before it takes its time to close
    patience = {"sigterm_timeout": "60"} if spec.name == "recorder" else {}
    return Node(
        package=graph.PACKAGE,
        executable=spec.executable,
        **where,
        **patience,
        arguments=list(spec.cameras),
        parameters=[*spec.files, spec.parameters],
        remappings=list(spec.remaps),
        output="screen",
        respawn=False,
    )
