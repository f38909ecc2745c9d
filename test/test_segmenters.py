"""Instances of Hugging Face models: tiny ones with random weights, saved to a folder and read as any other."""

import pickle
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

from instance_depth_ros.config import CLASSES
from instance_depth_ros.segmenters import INSTALL, Segmenter, class_id

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

LABELS = {0: "N/A", 1: "person", 2: "zebra", 3: "sports ball"}
COLOR = np.random.default_rng(0).integers(0, 255, (48, 80, 3), np.uint8)


def eomt(folder, surest=None):
    torch.manual_seed(0)
    config = transformers.EomtConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=64, patch_size=16, num_queries=5,
        num_blocks=1, num_upscale_blocks=1, id2label=LABELS,
    )  # fmt: skip
    model = transformers.EomtForUniversalSegmentation(config)
    if surest is not None:
        model.class_predictor.bias.data[surest] = 20
    model.save_pretrained(folder)
    size = {"shortest_edge": 64, "longest_edge": 64}
    transformers.EomtImageProcessorPil(size=size, do_pad=True).save_pretrained(folder)
    return folder


def rf_detr(folder, surest=None):
    """The kind of the default; its image processor needs torchvision."""
    pytest.importorskip("torchvision", reason=f"the default model needs: {INSTALL}")
    torch.manual_seed(0)
    backbone = transformers.RfDetrDinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=56, num_windows=1, out_indices=[1, 2]
    )
    config = transformers.RfDetrConfig(
        backbone_config=backbone, d_model=32, num_queries=5, group_detr=1, decoder_layers=1, decoder_ffn_dim=32,
        decoder_self_attention_heads=2, decoder_cross_attention_heads=2, c2f_num_blocks=1, id2label=LABELS,
    )  # fmt: skip
    model = transformers.RfDetrForInstanceSegmentation(config)
    if surest is not None:
        model.model.class_embed.bias.data[surest] = 20
    model.save_pretrained(folder)
    transformers.RfDetrImageProcessor(size={"height": 56, "width": 56}).save_pretrained(folder)
    return folder


def settings(weights, threshold=0.0):
    return SimpleNamespace(instance_weights=str(weights), instance_threshold=threshold, device="cpu")


@pytest.mark.parametrize("make", [eomt, rf_detr])
def test_a_model_of_a_folder_gives_masks_of_the_size_asked_for(make, tmp_path):
    segmenter = Segmenter(settings(make(tmp_path)))
    for size in ((48, 80), (24, 40)):
        segments = segmenter(COLOR, None if size == (48, 80) else size)
        assert segments
        assert all(s.mask.shape == size and s.mask.dtype == bool and s.mask.any() for s in segments)
        assert np.sum([s.mask for s in segments], 0).max() == 1, "masks overlap"
        scores = [s.score for s in segments]
        assert scores == sorted(scores, reverse=True) and 0 < scores[-1] and scores[0] < 1


@pytest.mark.parametrize("make", [eomt, rf_detr])
@pytest.mark.parametrize("label, ours", [(1, "person"), (2, "animal"), (3, "ball"), (0, "other")])
def test_the_labels_of_the_model_become_our_classes(make, label, ours, tmp_path):
    segments = Segmenter(settings(make(tmp_path, label), 0.5))(COLOR)
    assert segments and {CLASSES[s.class_id] for s in segments} == {ours}


def test_the_threshold_acts_at_the_next_picture(tmp_path):
    segmenter = Segmenter(settings(eomt(tmp_path)))
    every = segmenter(COLOR)
    between = (every[0].score + every[1].score) / 2
    segmenter.settings.instance_threshold = between
    assert len(segmenter(COLOR)) == 1
    segmenter.settings.instance_threshold = 1.0
    assert segmenter(COLOR) == []


def test_classes_of_coco():
    ours = [CLASSES[class_id(label)] for label in ("truck", "boat", "bear", "tennis racket", "frisbee")]
    assert ours == ["vehicle", "vehicle", "animal", "racket", "other"]


def test_without_transformers_the_way_to_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install 'instance_depth_ros\[hf\]'"):
        Segmenter(settings("anything"))


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is here")
def test_without_torchvision_the_way_to_the_one_of_this_torch_is_named(tmp_path):
    transformers.RfDetrConfig().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"image_processor_type": "RfDetrImageProcessor"}')
    with pytest.raises(ImportError, match=r"needs torchvision: pip install .* 'torchvision==0\.\d+\.\*'"):
        Segmenter(settings(tmp_path))


def test_without_a_network_the_model_and_the_way_out_are_named(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="no/such-model.*connect.*hf download no/such-model.*a folder") as raised:
        Segmenter(settings("no/such-model"))
    assert "\n" not in str(raised.value)


def test_a_model_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Unrecognized model.*rf_detr"):
        Segmenter(settings(tmp_path))
    transformers.ViTConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="its kind, vit, does not.*rf_detr"):
        Segmenter(settings(tmp_path))


def test_damaged_weights_are_said_to_be(tmp_path):
    file = eomt(tmp_path) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match="cannot be used"):
        Segmenter(settings(tmp_path))


def test_weights_without_a_mask_head_are_refused_instead_of_drawn_at_random(tmp_path):
    from safetensors.torch import load_file, save_file

    file = eomt(tmp_path) / "model.safetensors"
    tensors = {key: value for key, value in load_file(file).items() if not key.startswith("mask_head")}
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks 6 tensors of EomtForUniversalSegmentation, such as mask_head\.fc1"):
        Segmenter(settings(tmp_path))


def test_nothing_in_a_pickle_is_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "sprung"), "w")

    (eomt(tmp_path) / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Trap()}, 2))
    with pytest.raises(ValueError, match="cannot be used"):
        Segmenter(settings(tmp_path))
    assert not (tmp_path / "sprung").exists()
