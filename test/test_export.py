"""The whole network of a frame is one graph without a break, of operators that torch-tensorrt has converters for."""

import json
import operator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from instance_depth_ros.model.folded import fold_norms
from instance_depth_ros.model.frame_graph import FrameGraph
from instance_depth_ros.model.memory import Memory
from instance_depth_ros.model.network import DepthNetwork
from instance_depth_ros.model.presets import PRESETS

CONVERTERS = set(json.loads((Path(__file__).parent / "goldens" / "tensorrt_converters.json").read_text())["converters"])
# checks of types and views of the same memory: they compute nothing, and lowering takes them out
NOTHING = {"torch.ops.aten._assert_tensor_metadata.default", "torch.ops.aten.alias.default"}
SIZES = {"tiny": (64, 96), "small": (56, 84), "instance_small": (56, 84)}
# as many blocks as show every operator: exporting all of them takes minutes and finds the same
FEWER = {"tiny": {"query_layers": 1}, "small": {}, "instance_small": {"query_layers": 1}}
FEWER_BLOCKS = {"conv": {"depths": (1, 1, 1, 1)}, "vit": {"depths": (4,), "taps": (0, 1, 2, 3)}}


def exported(graph: FrameGraph, inputs: tuple):
    table = torch.export.default_decompositions()
    table.pop(torch.ops.aten.scaled_dot_product_attention.default)  # it has a converter of its own
    return torch.export.export(graph, inputs, strict=False).run_decompositions(table)


def name(node) -> str:
    return "operator.getitem" if node.target is operator.getitem else f"torch.ops.{node.target}"


@pytest.mark.parametrize("size", SIZES)
def test_every_operator_has_a_converter(size):
    config = replace(PRESETS[size], **FEWER[size], **FEWER_BLOCKS[PRESETS[size].encoder])
    network = fold_norms(DepthNetwork(config).eval())
    graph = FrameGraph(network)
    with torch.no_grad():
        inputs = graph.example(*SIZES[size])
        program = exported(graph, inputs)
    found = {name(node) for node in program.graph.nodes if node.op == "call_function"}
    assert len(found) > 20 and found - NOTHING <= CONVERTERS, sorted(found - NOTHING - CONVERTERS)


def test_the_graph_is_the_network_at_every_place_of_the_ring():
    network = DepthNetwork(PRESETS["tiny"]).eval()
    graph, memory = FrameGraph(network), Memory()
    pictures = torch.randn(4, 1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    lens = torch.zeros(1, 3, 64, 96)
    with torch.inference_mode():
        for index, picture in enumerate(pictures):
            if index:
                seen = graph.outputs(graph(*graph.inputs(picture, lens, memory)))
                expected = network(picture, lens, memory.clone())
                torch.testing.assert_close(seen.prediction.depth, expected.depth)
                torch.testing.assert_close(seen.prediction.holistic, expected.holistic)
                torch.testing.assert_close(seen.prediction.instances.masks, expected.instances.masks)
                memory.push(seen.keys, seen.values)
            else:
                network(picture, lens, memory)
