"""Segment Anything as transformers has it: tiny models with random weights, saved to a folder and read as any other."""

import numpy as np
import pytest

from instance_depth_ros.datasets.annotation.ground_mask import refined
from instance_depth_ros.datasets.annotation.sam import Sam
from instance_depth_ros.segmenters import INSTALL

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

COLOR = np.random.default_rng(0).integers(0, 255, (48, 80, 3), np.uint8)
SMALL = {"hidden_size": 32, "image_size": 64, "patch_size": 16}
DECODER = {"hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32}


def sam(folder):
    torch.manual_seed(0)
    vision = {"num_hidden_layers": 2, "num_attention_heads": 2, "output_channels": 32, "window_size": 2}
    vision |= {"global_attn_indexes": [1], "num_pos_feats": 16, "initializer_range": 0.2, **SMALL}
    prompt = {"mask_input_channels": 4, **SMALL}
    config = transformers.SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=DECODER)
    transformers.SamModel(config).save_pretrained(folder)
    size = {"size": {"longest_edge": 64}, "pad_size": {"height": 64, "width": 64}}
    transformers.SamProcessor(transformers.SamImageProcessorPil(**size)).save_pretrained(folder)
    return folder


def sam2(folder):
    """Its image processor needs torchvision."""
    pytest.importorskip("torchvision", reason=f"SAM 2 needs: {INSTALL}")
    torch.manual_seed(0)
    backbone = {"hidden_size": 8, "image_size": [64, 64], "blocks_per_stage": [1, 1, 1, 2]}
    backbone |= {"embed_dim_per_stage": [8, 16, 24, 32], "num_attention_heads_per_stage": [1, 1, 1, 1]}
    backbone |= {"window_size_per_stage": [8, 4, 4, 4], "global_attention_blocks": [4]}
    backbone |= {"model_type": "sam2_hiera_det_model"}
    vision = {"backbone_config": backbone, "backbone_channel_list": [32, 24, 16, 8], "fpn_hidden_size": 32}
    vision |= {"backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]]}
    prompt = {"mask_input_channels": 4, **SMALL}
    config = transformers.Sam2Config(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=DECODER)
    transformers.Sam2Model(config).save_pretrained(folder)
    size = {"size": {"height": 64, "width": 64}, "mask_size": {"height": 16, "width": 16}}
    transformers.Sam2Processor(transformers.Sam2ImageProcessor(**size)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("make", [sam, sam2])
def test_boxes_become_masks_and_dots_ground(make, tmp_path):
    view = Sam(str(make(tmp_path)), "cpu").look(COLOR)
    boxes = [(5, 5, 20, 30), (40.5, 10, 30, 20), (0, 0, 80, 48)]
    masks = view.within(boxes)
    assert masks.shape == (3, 48, 80) and masks.dtype == bool and 0 < masks.mean() < 1
    np.testing.assert_array_equal(masks[1:2], view.within(boxes[1:2]))
    assert view.within([]).shape == (0, 48, 80)
    floor = view.around([(10, 40), (60, 42)])
    assert floor.shape == (48, 80) and floor.dtype == bool


def test_the_same_as_transformers_says_by_itself(tmp_path):
    """The picture is seen once for all prompts; asked in the usual way, it is seen with them."""
    sam(tmp_path)
    processor = transformers.SamProcessor.from_pretrained(tmp_path)
    model = transformers.SamModel.from_pretrained(tmp_path).eval()
    inputs = processor(images=COLOR, input_boxes=[[[5.0, 5.0, 25.0, 35.0]]], return_tensors="pt")
    inputs["input_boxes"] = inputs["input_boxes"].float()
    with torch.no_grad():
        said = model(**inputs, multimask_output=False).pred_masks
    sizes = inputs["original_sizes"], inputs["reshaped_input_sizes"]
    expected = processor.post_process_masks(said, *sizes)[0][0, 0].numpy()
    np.testing.assert_array_equal(Sam(str(tmp_path), "cpu").look(COLOR).within([(5, 5, 20, 30)])[0], expected)


class Says:
    """What a SAM would say, whatever it is asked."""

    def __init__(self, mask):
        self.mask, self.asked = mask, []

    def around(self, dots):
        self.asked += dots
        return self.mask


def test_the_plane_judges_what_sam_says_of_the_ground():
    flat = np.zeros((48, 80), bool)
    flat[30:] = True
    finer, wrong = flat.copy(), ~flat
    finer[30:33, :20] = False
    view = Says(finer)
    assert refined(flat, [], view) is finer and all(flat[y, x] for x, y in view.asked)
    assert refined(flat, [], Says(wrong)) is flat
    nothing = np.zeros_like(flat)
    assert refined(nothing, [(3, 40)], Says(finer)) is finer and refined(nothing, [], Says(finer)) is nothing


def test_nothing_is_downloaded_unasked(tmp_path):
    with pytest.raises(ValueError, match="--sam-weights 'no/such-sam' cannot be used.*hf download no/such-sam"):
        Sam("no/such-sam", "cpu")


def test_a_model_of_another_kind_is_refused(tmp_path):
    transformers.ViTConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="its kind, vit, is none of sam, sam2"):
        Sam(str(tmp_path), "cpu")


def test_weights_that_lack_parameters_are_refused_instead_of_drawn_at_random(tmp_path):
    from safetensors.torch import load_file, save_file

    sam(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    del tensors["mask_decoder.iou_token.weight"]
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(ValueError, match="it lacks 1 tensors of SamModel, such as mask_decoder.iou_token.weight"):
        Sam(str(tmp_path), "cpu")
