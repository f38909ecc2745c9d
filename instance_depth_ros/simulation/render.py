"""MuJoCo as a camera: colour, depth and the surface seen by each pixel."""

from __future__ import annotations

import os
import sys

import cv2
import numpy as np

if not os.environ.get("DISPLAY") and "MUJOCO_GL" not in os.environ:
    if "mujoco" in sys.modules:  # it would abort the process
        raise RuntimeError("mujoco was imported before the simulation, without a display: set MUJOCO_GL=egl first")
    os.environ["MUJOCO_GL"] = "egl"
try:
    import mujoco
    from mujoco.gl_context import GLContext
except ImportError as error:
    raise RuntimeError(
        f"the simulation needs MuJoCo and OpenGL: pip install mujoco, apt-get install libegl1 libgl1 ({error})"
    ) from error
except AttributeError as error:  # PyOpenGL without libEGL
    raise RuntimeError(f"no OpenGL for MuJoCo: apt-get install libegl1 libgl1 ({error})") from error

NEAR_M, FAR_M = 0.05, 250.0
_HIDDEN_GROUP = 5  # a group that MjvOption leaves out


class Picture:
    """Draws one model from its camera 'eye'; use it from one thread at a time, and close it.

    oversample: colours are drawn so many times larger and shrunk, for smooth edges.
    """

    def __init__(self, model, width: int, height: int, oversample: int, shadow: bool, haze: bool):
        self.model, self.data = model, mujoco.MjData(model)
        mujoco.mj_forward(model, self.data)
        self._size, self._oversample = (height, width), oversample
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + 50)
        self._shadow = shadow
        self._scene.flags[mujoco.mjtRndFlag.mjRND_FOG] = haze
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._camera = mujoco.MjvCamera()
        self._camera.type, self._camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
        self._option = mujoco.MjvOption()
        self._reach = np.where(model.geom_rbound > 0, model.geom_rbound, np.inf)  # planes have no end
        self._update(np.ones(model.ngeom, bool))
        self._drawn = np.array([geom.objid for geom in self._scene.geoms[: self._scene.ngeom]])
        try:
            self._gl = GLContext(width * oversample, height * oversample)
            with self._gl.as_current():
                self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50.value)
        except Exception as error:  # PyOpenGL raises many kinds
            raise RuntimeError(
                "cannot open an OpenGL context: apt-get install libegl1 libgl1; without a display MUJOCO_GL=egl must "
                f"be set before mujoco is imported ({error})"
            ) from error
        with self._gl.as_current():
            mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
            self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR

    def take(self, world_from_camera: np.ndarray, vertical_fov_deg: float, truth: bool = False):
        """Colour (H, W, 3) uint8, depth_m (H, W) float32 and surface (H, W) int16, None unless truth.

        world_from_camera: (4, 4), OpenCV axes. depth_m: along the optical axis at the pixel's centre, FAR_M where there
        is nothing. surface: index of the geom at the pixel's centre, -1 where there is none.
        """
        seen = self._aim(world_from_camera, vertical_fov_deg)
        with self._gl.as_current():
            color, depth = self._shaded(seen)
            surface = None
            if truth or self._oversample > 1:
                # a pass of its own, without smoothing: depth and surface of the same point
                surface, depth = self._surface(seen)
        # reversed z: 1 at the near plane, 0 at the far one
        depth_m = np.float32(NEAR_M * FAR_M) / (np.float32(NEAR_M) + depth * np.float32(FAR_M - NEAR_M))
        return color, depth_m[::-1].copy(), surface[::-1].copy() if truth else None

    def color(self, world_from_camera: np.ndarray, vertical_fov_deg: float) -> np.ndarray:
        """The colour that take() gives, alone."""
        seen = self._aim(world_from_camera, vertical_fov_deg)
        with self._gl.as_current():
            return self._shaded(seen)[0]

    def _aim(self, world_from_camera: np.ndarray, vertical_fov_deg: float) -> np.ndarray:
        """Turn the camera; returns (geoms,) bool, which are in view."""
        # OpenGL looks along -z with y up
        self.data.cam_xpos[0] = world_from_camera[:3, 3]
        self.data.cam_xmat[0] = (world_from_camera[:3, :3] * (1, -1, -1)).reshape(-1)
        self.model.cam_fovy[0] = vertical_fov_deg
        return ~self._beyond(self.data.geom_xpos).any(0)

    def _shaded(self, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Colour as take() gives it, and the reversed depth it was drawn with."""
        self._update(seen | self._casts() if self._shadow else seen)
        color, depth = self._draw(self._oversample, self._shadow)
        if self._oversample > 1:
            color = cv2.resize(color, self._size[::-1], interpolation=cv2.INTER_AREA)
        return color[::-1], depth

    def _surface(self, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Index of the geom (H, W) int16 and reversed depth (H, W), bottom row first."""
        self._update(seen)
        flags = self._scene.flags.copy()
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = True
        self._scene.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = True
        color, depth = self._draw(1, False)
        np.copyto(self._scene.flags, flags)
        # a geom's colour is its place among those drawn, counted from 1
        table = np.append(-1, self._drawn[seen[self._drawn]]).astype(np.int16)
        return table[color[..., 0] + (color[..., 1].astype(np.uint16) << 8)], depth

    def _update(self, seen: np.ndarray) -> None:
        """Take the geoms' and the camera's places into the scene, of the geoms seen only."""
        group = self.model.geom_group.copy()
        self.model.geom_group[~seen] = _HIDDEN_GROUP
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(self.model, self.data, self._option, None, self._camera, everything, self._scene)
        self.model.geom_group[:] = group

    def _draw(self, scale: int, shadow: bool) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, 3) uint8 and reversed depth (H, W) float32, scale times the picture's size, bottom row first."""
        height, width = self._size[0] * scale, self._size[1] * scale
        color, depth = np.empty((height, width, 3), np.uint8), np.empty((height, width), np.float32)
        rect = mujoco.MjrRect(0, 0, width, height)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadow
        mujoco.mjr_render(rect, self._scene, self._context)
        mujoco.mjr_readPixels(color, depth, rect, self._context)
        return color, depth

    def _casts(self) -> np.ndarray:
        """(geoms,) bool: whether a geom's shadow may be in view, anywhere between it and the floor."""
        casts = np.zeros(self.model.ngeom, bool)
        centers = self.data.geom_xpos
        here = self._beyond(centers)
        for light in np.flatnonzero(self.model.light_castshadow):
            far = self.model.light_type[light] == mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
            away = self.data.light_xdir[light] if far else centers - self.data.light_xpos[light]
            # until all of the shadow is below the floor; that of a lamp grows on its way
            share = np.maximum(centers[:, 2] + self.model.geom_rbound, 0) / np.maximum(-away[..., 2], 1e-3)
            landing = centers + away * share[:, None]
            casts |= ~(here & self._beyond(landing, 1 if far else 1 + share)).any(0)
        return casts

    def _beyond(self, centers: np.ndarray, growth=1) -> np.ndarray:
        """(5, geoms) bool: whether geoms at centers (geoms, 3), grown, lie wholly beyond each side of the view."""
        down = np.radians(self.model.cam_fovy[0]) / 2
        across = np.arctan(np.tan(down) * self._size[1] / self._size[0])
        x, y, back = self.data.cam_xmat[0].reshape(3, 3).T @ (centers - self.data.cam_xpos[0]).T
        sides = [
            way * at * np.cos(half) + back * np.sin(half) for at, half in ((x, across), (y, down)) for way in (1, -1)
        ]
        return np.array([*sides, back]) > self._reach * growth

    @property
    def renderer(self) -> str:
        """What OpenGL says draws: pictures differ a little from one to another."""
        from OpenGL import GL

        with self._gl.as_current():
            return GL.glGetString(GL.GL_RENDERER).decode()

    def close(self) -> None:
        """Free the OpenGL context; safe to call twice."""
        if self._gl is not None:
            with self._gl.as_current():
                self._context.free()
            self._gl.free()
            self._gl = None
