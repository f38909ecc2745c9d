"""Image to four feature maps: DINOv2's ViT/14 under the official parameter names, and the small residual one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .presets import ModelConfig

POSITION_GRID = 37  # DINOv2's learned positions: 37 x 37 patches, a 518 px image


def make_encoder(config: ModelConfig) -> nn.Module:
    return VisionTransformer(config) if config.encoder == "vit" else ResidualEncoder(config)


class Attention(nn.Module):
    """Multi-head self-attention over (B, N, C)."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c))


class Mlp(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Block(nn.Module):
    """Pre-norm transformer block with LayerScale (DINOv2)."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.ls1 = LayerScale(dim)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim)
        self.ls2 = LayerScale(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.proj = nn.Conv2d(3, dim, 14, 14)

    def forward(self, image: Tensor) -> Tensor:
        return self.proj(image).flatten(2).transpose(1, 2)


class VisionTransformer(nn.Module):
    """DINOv2 ViT/14. (B, 3, 14h, 14w) -> four (B, C, h, w) taps, final norm applied, class token dropped."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        dim = config.dims[0]
        self.taps = config.taps
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, POSITION_GRID**2 + 1, dim))
        self.patch_embed = PatchEmbed(dim)
        self.blocks = nn.ModuleList(Block(dim, config.heads) for _ in range(config.depths[0]))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self._initialise()

    def _initialise(self):
        for parameter in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(parameter, std=0.02)

    def positions(self, h: int, w: int) -> Tensor:
        """(1, 1 + h*w, C). The scale factor, not the target size, as DINOv2 does: it shifts the samples a little."""
        if h == w == POSITION_GRID:
            return self.pos_embed
        grid = self.pos_embed[:, 1:].reshape(1, POSITION_GRID, POSITION_GRID, -1).permute(0, 3, 1, 2).float()
        scale = ((h + 0.1) / POSITION_GRID, (w + 0.1) / POSITION_GRID)
        grid = F.interpolate(grid, scale_factor=scale, mode="bicubic", align_corners=False)
        grid = grid.permute(0, 2, 3, 1).reshape(1, h * w, -1).to(self.pos_embed.dtype)
        return torch.cat([self.pos_embed[:, :1], grid], 1)

    def forward(self, image: Tensor, lens: Tensor | None = None) -> list[Tensor]:
        h, w = image.shape[-2] // 14, image.shape[-1] // 14
        x = self.patch_embed(image)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1) + self.positions(h, w)
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.taps:
                maps.append(self.norm(x)[:, 1:].transpose(1, 2).unflatten(2, (h, w)))
        return maps


class Residual(nn.Module):
    """Two 3x3 convolutions with batch norm (folded into them for inference) around a skip."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class Downsample(nn.Sequential):
    """Half the size: 3x3 stride 2, batch norm, ReLU."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__(
            nn.Conv2d(channels_in, channels_out, 3, 2, 1, bias=False), nn.BatchNorm2d(channels_out), nn.ReLU()
        )


class ResidualEncoder(nn.Module):
    """Image and lens to taps at strides 4, 8, 16, 32; a transformer block sees the whole picture at the last.

    image (B, 3, H, W) normalised; lens (B, 3, H, W): x/z, y/z of each pixel's ray and log(focal / canonical).
    Plain 3x3 convolutions: the fastest per training hour and per millisecond on a CPU (docs/log.md).
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        widths = (config.dims[0] // 2 + 8, *config.dims)
        self.stem = Downsample(6, widths[0])
        self.stages = nn.ModuleList(
            nn.Sequential(Downsample(before, width), *(Residual(width) for _ in range(depth)))
            for before, width, depth in zip(widths, config.dims, config.depths, strict=False)
        )
        self.blocks = nn.Sequential(Block(config.dims[-1], config.heads))

    def forward(self, image: Tensor, lens: Tensor) -> list[Tensor]:
        x = self.stem(torch.cat([image, lens.to(image.dtype)], 1))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        tokens = self.blocks(x.flatten(2).transpose(1, 2))
        maps[-1] = tokens.transpose(1, 2).unflatten(2, x.shape[-2:])
        return maps
