"""A bag through the real depth node: years old, and every picture of it becomes depth with its stamp, or is booked."""

import pytest

pytest.importorskip("rclpy", reason="needs ROS")
from bags import COLOR, DEPTH, depth_mm, moment, stamp, write  # noqa: E402
from ros_graph import Graph, books, own_domain, stamp_of  # noqa: E402

from instance_depth_ros.geometry import depth_from_millimetres  # noqa: E402
from instance_depth_ros.nodes import messages  # noqa: E402

own_domain()
COUNT = 8


def test_an_old_bag_is_not_stale_and_what_it_loses_is_booked(tmp_path):
    rows = [row for number in range(COUNT) for row in moment(number)]
    color = [place for place, row in enumerate(rows) if row[0] == COLOR]
    depth = [place for place, row in enumerate(rows) if row[0] == DEPTH]
    rows[depth[5]] = rows[depth[4]]  # so that picture 5 has none
    path = write(tmp_path / "bag", rows, damaged=[color[2]])
    with Graph(active=False, camera="replay", camera_path=str(path), rate="max", fuse="replace") as graph:
        results = graph.got["depth/image"]
        graph.until(lambda: graph.node.count_subscribers("depth/image"))
        graph.depth.trigger_configure()
        graph.depth.trigger_activate()
        graph.until(lambda: int(graph.diagnostics().get("frames_out", 0)) == COUNT - 2)
        graph.until(lambda: len(results) == COUNT - 2)
        assert [stamp_of(message) for message in results] == [stamp(number) for number in (0, 1, 3, 4, 6, 7)]
        frames_in, _, lost = books(graph)
        assert frames_in == COUNT and (lost["lost_invalid"], lost["lost_unpaired"], lost["lost_stale"]) == (1, 1, 0)
        assert graph.diagnostics()["camera_depth_topic"] == DEPTH
        fused = messages.depth_from_image(results[-1])
        assert fused[50, 50] == pytest.approx(depth_from_millimetres(depth_mm(7))[50, 50])
