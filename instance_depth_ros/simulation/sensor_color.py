"""The colours that a camera would give, from those that are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from .sensor import smooth_noise


@dataclass(frozen=True)
class Imager:
    """How a colour camera departs from the picture that is drawn. draw() one for each clip.

    The form of the noise is EMVA 1288's; all figures are assumed.
    """

    # how much darker the corners are
    vignetting: float = 0.2
    # exposure and white balance: red, green, blue
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    # electrons of white at gain 1; noise of reading
    white_e: float = 7000.0
    read_e: float = 3.0
    gain: float = 2.0
    # share of the noise that is coloured, after demosaicing
    chroma: float = 0.5
    # 1..100; 0: none
    jpeg: int = 0

    @classmethod
    def draw(cls, rng, jpeg: int = 0) -> Imager:
        """Any camera: exposure +-15 %, white balance +-8 %, gain 1..4."""
        exposure, red, blue = np.exp(rng.uniform(-1, 1, 3) * (0.14, 0.08, 0.08))
        gains = tuple(float(exposure * g) for g in (red, 1.0, blue))
        return cls(float(rng.uniform(0.02, 0.35)), gains, gain=float(2 ** rng.uniform(0, 2)), jpeg=jpeg)

    def take(self, color: np.ndarray, rng) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> the same with vignetting, gains, noise and compression."""
        size = color.shape[:2]
        light = cv2.multiply(color, _gains(*size, self.vignetting, self.gains), dtype=cv2.CV_32F)
        sigma = cv2.LUT(cv2.cvtColor(color, cv2.COLOR_RGB2GRAY), _noise_of_grey(self))
        luma = smooth_noise(rng, size, 0.0) * sigma
        red, blue = (luma + smooth_noise(rng, size, 1.0) * (self.chroma * sigma) for _ in "rb")
        color = cv2.add(light, cv2.merge([red, luma, blue]), dtype=cv2.CV_8U)
        if not self.jpeg:
            return color
        _, packed = cv2.imencode(".jpg", color[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, self.jpeg))
        return cv2.cvtColor(cv2.imdecode(packed, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


@lru_cache(maxsize=8)
def _gains(height: int, width: int, vignetting: float, gains: tuple[float, float, float]) -> np.ndarray:
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)
    return ((1 - vignetting * (x * x + y * y) / 2)[..., None] * gains).astype(np.float32)


@lru_cache(maxsize=64)
def _noise_of_grey(imager: Imager) -> np.ndarray:
    """(256,) float32 standard deviation in grey levels: photons and reading, through the sRGB curve."""
    grey = np.arange(256) / 255
    linear = np.where(grey < 0.0405, grey / 12.92, ((grey + 0.055) / 1.055) ** 2.4)
    slope = np.where(grey < 0.0405, 12.92, 1.055 / 2.4 * np.maximum(linear, 1e-3) ** (1 / 2.4 - 1))
    white_e = imager.white_e / imager.gain
    return (255 * slope * np.sqrt(linear * white_e + imager.read_e**2) / white_e).astype(np.float32)
