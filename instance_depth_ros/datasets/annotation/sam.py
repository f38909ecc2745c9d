"""Masks from prompts by Segment Anything, 1 or 2, of Hugging Face transformers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ...engine import choose_device
from ...segmenters import explained, read_model

# kind of a checkpoint -> its classes; those of video models hold one for pictures
KINDS = {
    "sam": ("SamModel", "SamProcessor"),
    "sam2": ("Sam2Model", "Sam2Processor"),
    "sam2_video": ("Sam2Model", "Sam2Processor"),
}


class Sam:
    """name: of a model on huggingface.co, or a folder of save_pretrained. download: it may be fetched from there.

    Such as facebook/sam-vit-base or facebook/sam2.1-hiera-small, both Apache-2.0. Nothing but tensors is read from
    weights, and no code of a repository is run. ImportError without transformers; ValueError: no such model.
    """

    def __init__(self, name: str, device: str = "auto", download: bool = False):
        self.name, self.device = name, choose_device(device)
        with explained(f"--sam-weights '{name}'", name, f"a model of kind {', '.join(KINDS)}"):
            self.processor, self.model = _read(name, local_files_only=not download)
        self.model = self.model.to(self.device).eval()

    @torch.inference_mode()
    def look(self, color: np.ndarray) -> View:
        """One picture, (H, W, 3) uint8 RGB, seen once for all prompts."""
        pixels = self.processor(images=color, return_tensors="pt")["pixel_values"].to(self.device)
        return View(self, color, self.model.get_image_embeddings(pixels))


class View:
    """What SAM sees in one picture."""

    def __init__(self, sam: Sam, color: np.ndarray, embeddings):
        self._sam, self._color, self._embeddings = sam, color, embeddings

    def within(self, boxes: Sequence[Sequence[float]]) -> np.ndarray:
        """(n, H, W) bool: the object in each of n boxes x, y, w, h; masks may overlap."""
        if not len(boxes):
            return np.zeros((0, *self._color.shape[:2]), bool)
        x, y, w, h = np.array(boxes, float).T
        return self._masks(input_boxes=[np.stack([x, y, x + w, y + h], 1).tolist()])

    def around(self, dots: Sequence[Sequence[float]]) -> np.ndarray:
        """(H, W) bool: the one thing that all these x, y lie on."""
        labels = [[[1] * len(dots)]]
        return self._masks(input_points=[[[list(map(float, dot)) for dot in dots]]], input_labels=labels)[0]

    @torch.inference_mode()
    def _masks(self, **prompts) -> np.ndarray:
        processor, device = self._sam.processor, self._sam.device
        inputs = processor(images=self._color, **prompts, return_tensors="pt")
        asked = {name: inputs[name].to(device) for name in prompts}
        asked = {name: value.float() if value.is_floating_point() else value for name, value in asked.items()}
        # one mask a prompt: three are for a single dot, of which nobody knows how much it means
        said = self._sam.model(image_embeddings=self._embeddings, multimask_output=False, **asked)
        # SAM 1 also pads pictures to squares
        sizes = [inputs[name].tolist() for name in ("original_sizes", "reshaped_input_sizes") if name in inputs]
        return processor.post_process_masks(said.pred_masks.cpu(), *sizes)[0][:, 0].numpy()


def _read(name: str, **where):
    import transformers

    config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False, **where)
    if config.model_type not in KINDS:
        raise ValueError(f"its kind, {config.model_type}, is none of {', '.join(KINDS)}")
    model_class, processor_class = (getattr(transformers, part) for part in KINDS[config.model_type])
    processor = processor_class.from_pretrained(name, trust_remote_code=False, **where)
    # of a video model's configuration, Sam2Model takes its own part
    return processor, read_model(model_class, name, trust_remote_code=False, **where)
