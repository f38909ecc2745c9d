"""MuJoCo as a camera: colour and depth from one pass, ids from a second where asked."""

from __future__ import annotations

import os

import cv2
import numpy as np

if not os.environ.get("DISPLAY"):
    os.environ.setdefault("MUJOCO_GL", "egl")
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


class Picture:
    """Draws one model from its camera 'eye'; use it from one thread at a time, and close it."""

    def __init__(self, model, width: int, height: int, oversample: int, shadow: bool, haze: bool):
        self.model, self.data = model, mujoco.MjData(model)
        mujoco.mj_forward(model, self.data)
        self._oversample = oversample
        self._size = height * oversample, width * oversample
        self._rect = mujoco.MjrRect(0, 0, width * oversample, height * oversample)
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + 50)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadow
        self._scene.flags[mujoco.mjtRndFlag.mjRND_FOG] = haze
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._camera = mujoco.MjvCamera()
        self._camera.type, self._camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
        self._option = mujoco.MjvOption()
        try:
            self._gl = GLContext(width, height)
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

    def take(self, world_from_camera: np.ndarray, vertical_fov_deg: float, geom_ids: np.ndarray | None = None):
        """Colour (H, W, 3) uint8, depth_m (H, W) float32 along the optical axis, and ids (H, W) uint16 or None.

        world_from_camera: (4, 4), OpenCV axes. geom_ids: (geoms,) the id of each geom, to ask for ids.
        """
        # OpenGL looks along -z with y up
        self.data.cam_xpos[0] = world_from_camera[:3, 3]
        self.data.cam_xmat[0] = (world_from_camera[:3, :3] * (1, -1, -1)).reshape(-1)
        self.model.cam_fovy[0] = vertical_fov_deg
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(self.model, self.data, self._option, None, self._camera, everything, self._scene)
        color, depth = np.empty((*self._size, 3), np.uint8), np.empty(self._size, np.float32)
        ids = None
        with self._gl.as_current():
            mujoco.mjr_render(self._rect, self._scene, self._context)
            mujoco.mjr_readPixels(color, depth, self._rect, self._context)
            if geom_ids is not None:
                ids = self._ids(geom_ids)
        # reversed z: 1 at the near plane, 0 at the far one
        depth_m = NEAR_M * FAR_M / (NEAR_M + depth.astype(np.float64) * (FAR_M - NEAR_M))
        color, depth_m = color[::-1], depth_m[::-1].astype(np.float32)
        if self._oversample > 1:
            color, depth_m, ids = self._shrink(color, depth_m, ids)
        return color, depth_m, ids

    def _shrink(self, color, depth_m, ids):
        """Mean colours; depths exact on planes (mean disparity), or the nearest surface's where a pixel has several."""
        n = self._oversample
        size = self._size[1] // n, self._size[0] // n
        blocks = depth_m.reshape(size[1], n, size[0], n).swapaxes(1, 2).reshape(size[1], size[0], n * n)
        near, far = blocks.min(-1), blocks.max(-1)
        depth_m = np.where(far < 1.1 * near, 1 / (1 / blocks).mean(-1), near)
        return cv2.resize(color, size, interpolation=cv2.INTER_AREA), depth_m, None if ids is None else ids[::n, ::n]

    def _ids(self, geom_ids: np.ndarray) -> np.ndarray:
        flags = self._scene.flags.copy()
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = True
        self._scene.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = True
        drawn = np.empty((*self._size, 3), np.uint8)
        mujoco.mjr_render(self._rect, self._scene, self._context)
        mujoco.mjr_readPixels(drawn, None, self._rect, self._context)
        np.copyto(self._scene.flags, flags)
        table = np.zeros(self._scene.ngeom + 1, np.uint16)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.segid >= 0 and geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                table[geom.segid + 1] = geom_ids[geom.objid]
        return table[drawn.astype(np.uint32) @ np.array([1, 256, 65536], np.uint32)][::-1].copy()

    def close(self) -> None:
        """Free the OpenGL context; safe to call twice."""
        if self._gl is not None:
            with self._gl.as_current():
                self._context.free()
            self._gl.free()
            self._gl = None
