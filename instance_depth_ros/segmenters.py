"""Instance masks from elsewhere: `instances: hf` runs an instance segmentation model of Hugging Face transformers."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch

from .config import CLASSES
from .engine import choose_device

# wheels of torchvision are compiled for one release and build of torch; its minor version is 15 ahead
TORCHVISION = f"torchvision==0.{int(torch.__version__.split('.')[1]) + 15}.*"
INSTALL = (
    f"pip install 'instance_depth_ros[hf]' '{TORCHVISION}', from the index that torch {torch.__version__} came from "
    "(CPU builds: --extra-index-url https://download.pytorch.org/whl/cpu)"
)
ANIMALS = ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe")
VEHICLES = ("bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat")
# COCO's labels; what is not among them is 'other'
OURS = {
    "person": "person",
    "sports ball": "ball",
    "tennis racket": "racket",
    **dict.fromkeys(ANIMALS, "animal"),
    **dict.fromkeys(VEHICLES, "vehicle"),
}
# transformers lists them with the others, but they need a text or a whole video beside the picture
NOT_ON_PICTURES = ("oneformer", "videomt")
KINDS = "rf_detr, eomt, mask2former, maskformer or detr"


class Segment(NamedTuple):
    """mask: (h, w) bool, masks of one picture do not overlap. class_id: place in config.CLASSES. score: 0..1."""

    mask: np.ndarray
    class_id: int
    score: float


class Segmenter:
    """The model that the setting instance_weights names: a name on huggingface.co, or a folder of save_pretrained.

    The default, Roboflow/rf-detr-seg-medium, has 36 M parameters and COCO's labels; its code and its weights are
    Apache-2.0 (github.com/roboflow/rf-detr). Each picture stands by itself. Nothing but tensors is read from weights,
    and no code of a repository is run. ImportError without transformers; ValueError: not such a model.
    """

    def __init__(self, settings: SimpleNamespace):
        self.settings, self.device = settings, choose_device(settings.device)
        processor, model = load(settings.instance_weights)
        self._processor, self._model = processor, model.to(self.device).eval()
        self._class_ids = {number: class_id(label) for number, label in model.config.id2label.items()}

    @torch.inference_mode()
    def __call__(self, color: np.ndarray, size: tuple[int, int] | None = None) -> list[Segment]:
        """Instances in color (H, W, 3) uint8 RGB that score instance_threshold or more, the surest first.

        size: (h, w) of the masks; None: of the picture.
        """
        inputs = self._processor(images=color, input_data_format="channels_last", return_tensors="pt").to(self.device)
        found = self._processor.post_process_instance_segmentation(
            self._model(**inputs),
            threshold=self.settings.instance_threshold,
            target_sizes=[tuple(size or color.shape[:2])],
        )[0]
        ids = None if found["segmentation"] is None else found["segmentation"].cpu().numpy()
        segments = (
            Segment(ids == row["id"], self._class_ids[row["label_id"]], float(row["score"]))
            for row in found["segments_info"]
        )
        # what others cover altogether is left with an empty mask
        return sorted((segment for segment in segments if segment.mask.any()), key=lambda s: -s.score)


def class_id(label: str) -> int:
    """The class of one of COCO's labels, as config.CLASSES counts."""
    return CLASSES.index(OURS.get(label.lower(), "other"))


def load(name: str):
    """The image processor and the model in fp32, on the CPU: what is downloaded already, else from huggingface.co."""
    with explained(f"instance_weights '{name}'", name, f"an instance segmentation model ({KINDS})"):
        try:
            # without asking the network: a robot starts where there is none
            return _read(name, local_files_only=True)
        except OSError:
            return _read(name)


@contextmanager
def explained(what: str, name: str, wanted: str):
    """What goes wrong in reading `name`, as one line with the way out: ImportError or ValueError."""
    try:
        yield
    except ImportError as error:
        raise ImportError(f"{what}: {_first_line(error)}: {INSTALL}") from error
    except Exception as error:
        if "dependencies: torchvision" in str(error):  # of the image processor of rf_detr and others
            raise ImportError(f"{what} needs torchvision: {INSTALL}") from error
        # on a damaged file, parsers raise whatever they stumble over
        raise ValueError(
            f"{what} cannot be used ({_first_line(error)}): run 'hf download {name}' where there is a network, or give "
            f"a folder of save_pretrained with {wanted}"
        ) from error


def _read(name: str, **where):
    import transformers

    config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False, **where)
    model_class = _model_class(transformers, config)
    options = {"config": config, "trust_remote_code": False, **where}
    processor = transformers.AutoImageProcessor.from_pretrained(name, **options)
    return processor, read_model(model_class, name, **options)


def read_model(model_class, name: str, **options):
    """All of a model's parameters from a file; ValueError where it lacks some."""
    model, report = model_class.from_pretrained(name, weights_only=True, output_loading_info=True, **options)
    parameters = dict(model.named_parameters())
    missing = sorted(key for key in report["missing_keys"] if key in parameters)
    if missing:  # they would be drawn at random
        raise ValueError(f"it lacks {len(missing)} tensors of {model_class.__name__}, such as {missing[0]}")
    return model


def _model_class(transformers, config):
    kinds = transformers.MODEL_FOR_INSTANCE_SEGMENTATION_MAPPING, transformers.MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING
    for kind in kinds:
        if type(config) in kind and config.model_type not in NOT_ON_PICTURES:
            return kind[type(config)]
    raise ValueError(f"its kind, {config.model_type}, does not segment the instances of a picture")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
