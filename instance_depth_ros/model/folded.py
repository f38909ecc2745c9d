"""The same network, made cheaper for inference: norms folded, weights in half precision."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .encoder import Downsample, Residual
from .network import DepthNetwork


def fold_norms(network: DepthNetwork) -> DepthNetwork:
    """Batch norms become part of the convolution before them, in place: the same function, half the layers."""
    for module in network.modules():
        if isinstance(module, Residual):
            for conv, norm in (("conv1", "bn1"), ("conv2", "bn2")):
                setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm)))
                setattr(module, norm, nn.Identity())
        elif isinstance(module, Downsample):
            module[0], module[1] = fuse_conv_bn_eval(module[0], module[1]), nn.Identity()
    return network


def reduced(network: DepthNetwork, dtype: torch.dtype) -> DepthNetwork:
    """A copy in half precision; the last layers stay fp32, as depth needs more than eight bits."""
    half = deepcopy(network).to(dtype)
    half.head.scratch.output_conv2 = deepcopy(network.head.scratch.output_conv2)
    return half
