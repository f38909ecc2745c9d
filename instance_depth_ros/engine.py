"""How the network runs: device, precision, and the check that a faster precision still says the same."""

from __future__ import annotations

import math
import time
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .geometry import Intrinsics
from .model.encoder import Downsample, Residual
from .model.instances import Instances
from .model.memory import Memory
from .model.network import DepthNetwork, Prediction
from .model.preprocess import lens_planes, normalise
from .model.presets import ModelConfig
from .process import use_threads

PROBE = Path(__file__).parent / "weights" / "probe.npz"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# What a reduced precision must keep of fp32 on the probe clip.
AGREE_SIGMA1, AGREE_REL, AGREE_MASKS = 0.999, 0.01, 0.99
HOPELESS = 3.0  # a precision whose first frame takes so many times a frame in fp32 is not tried on: it is emulated


class Engine:
    """One call: image and lens of a frame and the stream's memory in, the network's Prediction out (eager torch).

    precision 'auto' takes the fastest of what the device can do that agrees with fp32 on the stored probe clip;
    `refused` says which did not, and how far off they were.
    """

    def __init__(self, network: DepthNetwork, device: str = "auto", precision: str = "auto", threads: int = 0):
        self.device = choose_device(device)
        use_threads(threads)
        self.config = network.config
        self.name = "eager"
        self.refused: dict[str, str] = {}
        # A copy, as the network given may be in training.
        folded = fold_norms(deepcopy(network).eval()).to(self.device, memory_format=torch.channels_last)
        self._use(folded, "fp32")
        if precision == "auto":
            self._choose(folded)
        elif precision != "fp32":
            self._use(reduced(folded, DTYPES[precision]), precision)

    @torch.inference_mode()
    def __call__(
        self,
        image: Tensor,
        lens: Tensor | None,
        memory: Memory | None,
        masks: Tensor | None = None,
        instances: bool = True,
    ) -> Prediction:
        """As DepthNetwork.forward(), which says what all of them are; image, lens and what comes back are fp32."""
        image = image.to(self.device, self.dtype).contiguous(memory_format=torch.channels_last)
        lens = None if lens is None else lens.to(self.device)  # fp32: it scales metres
        return self.network(image, lens, memory, masks, instances)

    def _use(self, network: DepthNetwork, precision: str) -> None:
        self.network, self.precision, self.dtype = network, precision, DTYPES[precision]

    def _choose(self, fp32: DepthNetwork) -> None:
        reference, least_s = self._probe()
        best = (fp32, "fp32")
        # fp16 is slower than fp32 on a CPU without half-precision arithmetic; there bf16 is the one to try.
        for name in ("fp16", "bf16") if self.device.type == "cuda" else ("bf16",):
            self._use(reduced(fp32, DTYPES[name]), name)
            output, seconds = self._probe(HOPELESS * least_s)
            depth, masks = (whole[: len(part)] for whole, part in zip(reference, output, strict=True))
            slow = f"{seconds * 1e3:.0f} ms a frame, {best[1]} {least_s * 1e3:.0f} ms" if seconds >= least_s else ""
            error = agreement(output[0], depth) or mask_agreement(output[1], masks) or slow
            if error:
                self.refused[name] = error
            else:
                best, least_s = (self.network, name), seconds
        self._use(*best)

    def _probe(self, most_s: float = math.inf) -> tuple[tuple[np.ndarray, np.ndarray], float]:
        """Holistic depth of the probe clip, streamed, where it has instances, and the median seconds of a frame.

        It ends at a frame that takes longer than most_s.
        """
        images, lens = probe_inputs(self.config)
        memory, depths, masks, seconds = Memory(), [], [], []
        for image in images:
            start = time.perf_counter()
            says = self(image[None], lens, memory)
            depths.append(says.holistic.float().cpu().numpy())
            masks.append(foreground(says.instances).cpu().numpy())
            seconds.append(time.perf_counter() - start)
            if seconds[-1] > most_s:
                break
        return (np.concatenate(depths), np.concatenate(masks)), float(np.median(seconds[1:] or seconds))


def choose_device(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device '{device}' asked for, but torch {torch.__version__} sees no CUDA; take auto or cpu")
    return torch.device(device)


def agreement(output: np.ndarray, reference: np.ndarray) -> str:
    """'' when output says the same as reference, else how far off it is."""
    if not np.isfinite(output).all():
        return "not finite"
    known = reference > 1e-3
    ratio = np.maximum(output[known], 1e-6) / reference[known]
    sigma1 = float((np.maximum(ratio, 1 / ratio) < 1.25).mean())
    rel = float(np.abs(ratio - 1).mean())
    return "" if sigma1 >= AGREE_SIGMA1 and rel <= AGREE_REL else f"sigma1 {sigma1:.4f}, REL {rel:.4f} against fp32"


def foreground(instances: Instances | None) -> Tensor:
    """(B, h, w) bool where a query that is likely something has its mask; empty without instances."""
    if instances is None:
        return torch.zeros(0, dtype=torch.bool)
    likely = instances.classes.float().softmax(-1)[..., 0] < 0.5
    return ((instances.masks > 0) & likely[..., None, None]).any(1)


def mask_agreement(output: np.ndarray, reference: np.ndarray) -> str:
    """'' when both see instances in the same places, else how far off they are."""
    share = float((output == reference).mean()) if reference.size else 1.0
    return "" if share >= AGREE_MASKS else f"masks agree on {share:.4f} of the pixels with fp32"


def probe_inputs(config: ModelConfig) -> tuple[Tensor, Tensor | None]:
    """The stored clip cut to a size the network takes, (T, 3, H, W), and its lens planes (1, 3, H, W) or None."""
    with np.load(PROBE) as stored:
        color = stored["color"]
    height, width = (size // config.multiple * config.multiple for size in color.shape[1:3])
    images = normalise(torch.from_numpy(color[:, :height, :width]))
    if not config.ours:
        return images, None
    intrinsics = Intrinsics.from_fov(width, height, 60.0)
    return images, torch.from_numpy(lens_planes(intrinsics, config.canonical_focal_px))[None]


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
