"""A scene under construction: shapes in metres and their materials, compiled into one MuJoCo model."""

from __future__ import annotations

import numpy as np


def _text(*numbers) -> str:
    return " ".join(f"{float(n):.5g}" for n in numbers)


class Stage:
    """Collects geoms, textures and lights. z is up and the floor is z = 0."""

    def __init__(self):
        self.geoms: list[str] = []
        self.ground: list[bool] = []  # of each geom: whether people stand on it
        self.assets: list[str] = []
        self.lights: list[str] = []
        self.images: list[np.ndarray] = []
        self.headlight = (0.3, 0.3)

    def material(self, rgb=(255, 255, 255), image=None, period_m=1.0, shine=0.0, stretch=False, glow=0.0) -> str:
        """A colour, or a picture (H, W, 3) that covers period_m metres (one length, or two).

        stretch: the picture covers the whole of a box once. glow: how much it shines by itself. Returns the name.
        """
        name, look = f"m{len(self.assets)}", ""
        if image is not None:
            # MuJoCo repeats uniform textures per half size, which is two metres of a unit box
            x, y = (1, 1) if stretch else np.broadcast_to(period_m, 2) / 2
            look = f'texture="{self._texture(image)}" texrepeat="{_text(1 / x, 1 / y)}" '
            look += f'texuniform="{str(not stretch).lower()}"'
        color = _text(*np.asarray(rgb) / 255, 1)
        self.assets.append(
            f'<material name="{name}" rgba="{color}" specular="{shine:.2f}" shininess="0.3" '
            f'emission="{glow:.2f}" {look}/>'
        )
        return name

    def _texture(self, image, kind="2d") -> str:
        name = f"t{len(self.images)}"
        height, width = image.shape[:2]
        self.images.append(image)
        self.assets.append(f'<texture name="{name}" type="{kind}" builtin="flat" width="{width}" height="{height}"/>')
        return name

    def sky(self, image) -> None:
        """Six stacked square faces."""
        self._texture(image, "skybox")

    def _geom(self, kind, size, material, where, ground=False) -> None:
        self.geoms.append(f'<geom type="{kind}" size="{_text(*size)}" material="{material}" {where}/>')
        self.ground.append(ground)

    def moving(self, kind: str, size, material: str) -> int:
        """A shape that a troupe places in every frame; returns its index.

        kind, size: "sphere" (radius,), "capsule" and "cylinder" (radius, half length along z), "ellipsoid" and "box"
        (three half axes).
        """
        self._geom(kind, size, material, 'group="1"')
        return len(self.geoms) - 1

    def floor(self, half_m, material: str, center=(0, 0)) -> None:
        """Ground at z = 0, half_m (one length, or two) each way."""
        half = np.broadcast_to(half_m, 2)
        self._geom("plane", (*half, 4), material, f'group="2" pos="{_text(*center)} 0"', ground=True)

    def box(self, center, half, material, yaw=0.0, ground=False) -> None:
        self._geom("box", half, material, f'pos="{_text(*center)}" euler="0 0 {yaw:.5g}"', ground)

    def panel(self, center, half_width, half_height, normal_yaw, material, thickness=0.02) -> None:
        """An upright board whose picture lies on the face that looks along normal_yaw."""
        x = _text(-np.sin(normal_yaw), np.cos(normal_yaw), 0)
        where = f'pos="{_text(*center)}" xyaxes="{x} 0 0 1"'
        self._geom("box", (half_width, half_height, thickness / 2), material, where)

    def rod(self, a, b, radius, material) -> None:
        """A capsule from a to b."""
        self._geom("capsule", (radius,), material, f'fromto="{_text(*a, *b)}"')

    def cylinder(self, center, radius, half_height, material) -> None:
        self._geom("cylinder", (radius, half_height), material, f'pos="{_text(*center)}"')

    def blob(self, center, half, material) -> None:
        self._geom("ellipsoid", half, material, f'pos="{_text(*center)}"')

    def light(self, position, direction, diffuse, directional: bool, shadow=False, cutoff=80, fall=0.0) -> None:
        """fall: brightness at d metres is 1 / (1 + fall d^2)."""
        self.lights.append(
            f'<light pos="{_text(*position)}" dir="{_text(*direction)}" diffuse="{_text(*diffuse)}" cutoff="{cutoff}" '
            f'specular="0.1 0.1 0.1" castshadow="{str(shadow).lower()}" exponent="1" attenuation="1 0 {fall:.4g}" '
            f'type="{"directional" if directional else "spot"}"/>'
        )

    def signature(self) -> bytes:
        """Of the shapes, materials and lights; the same on every machine, so of pictures only their mean colour."""
        # floats differ in their last bits from machine to machine: far less than this step
        means = [np.rint(image.reshape(-1, 3).mean(0) / 8).astype(int).tolist() for image in self.images]
        return repr((self.geoms, self.assets, self.lights, _text(*self.headlight), means)).encode()

    def compile(self, width: int, height: int, shadow_reach_m: float, haze_m: float):
        """The mujoco.MjModel, its textures filled in."""
        from ..render import mujoco

        ambient, diffuse = self.headlight
        model = mujoco.MjModel.from_xml_string(f"""
<mujoco><compiler angle="radian" autolimits="true"/><statistic extent="1" center="0 0 1" meanmass="1"/>
<visual><headlight ambient="{_text(*[ambient] * 3)}" diffuse="{_text(*[diffuse] * 3)}" specular="0 0 0"/>
<map znear="0.05" zfar="250" shadowclip="{shadow_reach_m:.3g}" fogstart="30" fogend="{max(haze_m, 60):.4g}"/>
<rgba fog="0.75 0.78 0.8 1"/>
<quality shadowsize="1024" offsamples="0" numslices="12" numstacks="6" numquads="4"/>
<global offwidth="{width}" offheight="{height}"/></visual>
<default><geom contype="0" conaffinity="0" mass="0"/></default>
<asset>{"".join(self.assets)}</asset>
<worldbody>{"".join(self.lights)}<camera name="eye"/>{"".join(self.geoms)}</worldbody></mujoco>""")
        for index, image in enumerate(self.images):
            start = model.tex_adr[index]
            model.tex_data[start : start + image.size] = np.ascontiguousarray(image).reshape(-1)
        return model


def light_up(stage: Stage, rng, outdoors: bool, ceiling_m=0.0, half=(3, 3), night=False, lamps=()) -> bool:
    """Sun, floodlights, street lamps or ceiling lamps, few since each costs; returns whether one casts shadows.

    lamps: up to six (x, y, z) that shine at night outdoors; none: floodlights on masts at corners of +-half.
    """
    shadow, tone = bool(rng.random() < 0.5), 1 + rng.uniform(-0.12, 0.12, 3)
    if not outdoors:
        return _indoors(stage, rng, ceiling_m, np.asarray(half), tone, shadow)
    if night:
        stage.headlight = (rng.uniform(0.1, 0.2), rng.uniform(0.03, 0.1))
        warm = np.array([1.0, rng.uniform(0.75, 1.0), rng.uniform(0.5, 1.0)])
        if len(lamps):
            for lamp in lamps:
                stage.light(lamp, (0, 0, -1), rng.uniform(0.5, 0.8) * warm, False, cutoff=75, fall=0.008)
            return False
        return _floodlights(stage, rng, np.asarray(half), warm, shadow)
    level = rng.choice([0.35, 0.7, 1.0], p=[0.15, 0.35, 0.5])
    stage.headlight = (rng.uniform(0.22, 0.45) * max(level, 0.6), rng.uniform(0.05, 0.3))
    azimuth, height = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(20, 80))
    to_sun = np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)])
    stage.light(to_sun * 30, -to_sun, rng.uniform(0.4, 0.8) * level * tone, True, shadow)
    return shadow


def _indoors(stage: Stage, rng, ceiling_m: float, half, tone, shadow: bool) -> bool:
    level = rng.choice([0.35, 0.7, 1.0], p=[0.15, 0.35, 0.5])
    stage.headlight = (rng.uniform(0.3, 0.6) * max(level, 0.6), rng.uniform(0.1, 0.4))
    for index in range(rng.integers(1, 4)):
        place = (*rng.uniform(-0.7, 0.7, 2) * half, ceiling_m - 0.1)
        stage.light(place, (*rng.normal(0, 0.1, 2), -1), rng.uniform(0.25, 0.6) * level * tone, False,
                    shadow and index == 0)  # fmt: skip
    return shadow


def _floodlights(stage: Stage, rng, half, tone, shadow: bool) -> bool:
    """Masts outside the corners that shine on the middle."""
    height, post = rng.uniform(6, 10), stage.material((90, 92, 95))
    head = stage.material((255, 250, 235), glow=1.0)
    corners = np.array([(1, 1), (-1, -1), (1, -1), (-1, 1)])[: rng.integers(2, 5)] * rng.choice([-1, 1])
    for index, corner in enumerate(corners):
        place = np.array([*corner * (half + 1.5), height])
        stage.rod((*place[:2], 0), place, 0.08, post)
        stage.box(place, (0.3, 0.3, 0.15), head)
        aim = np.array([*rng.uniform(-0.2, 0.2, 2) * half, 0]) - place
        brightness = rng.uniform(0.7, 1.0) / len(corners)
        stage.light(place, aim / np.linalg.norm(aim), brightness * tone, False, shadow and index == 0, cutoff=70)
    return shadow
