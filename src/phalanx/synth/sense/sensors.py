"""Known sensors in numbers; `depth_sensor` and `colour_sensor` apply them to ideal renderings.

Checked against real frames: SR305 (noise, losses, baseline, unit) and Kinect v1 (step, jitter at edges; one frame). Cited without
having been checked against the publication's text: the coefficients for Kinect v2, baselines and disparity steps of the D4xx and of
Kinect v1, the 0.08 px of disparity noise, reflectances of skin. Comments say where a number is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from phalanx.data.depth_cameras import DEPTH_CAMERAS


@dataclass(frozen=True)
class DepthSensor:
    """A depth sensor. Lengths in metres, pixels are the sensor's own; 0 switches an effect off."""

    name: str
    """What it is called."""
    triangulates: bool
    """Whether it measures disparity (structured light, stereo) rather than distance (time of flight)."""
    focal: float
    """Focal length in pixels."""
    nearest: float = 0.0
    """What is nearer gives no reading."""
    farthest: float = float("inf")
    """What is farther gives no reading."""
    unit: float = 0.0
    """Step of the numbers that it delivers."""
    baseline: float = 0.0
    """Where the projector or the second camera is: its x in the frame of the camera whose picture the depth is."""
    levels: float = 0.0
    """Steps in which a pixel of disparity is resolved; 0: not resolved in steps."""
    axial: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Noise along the ray: its standard deviation at distance z is a + b z + c z^2."""
    slant: tuple[float, float] = (0.0, 0.0)
    """Noise added on slanted surfaces, (factor, power): factor z^power (t / (pi/2 - t))^2 at t radians between normal and ray."""
    grain: float = 0.0
    """Over how many pixels the noise along the ray is alike (standard deviation of a Gaussian)."""
    lateral: float = 0.0
    """Displacement of edges: its standard deviation in pixels."""
    lateral_grain: float = 0.0
    """Over how many pixels edges are displaced alike."""
    edge_loss: float = 0.0
    """How far beside something nearer pixels are lost."""
    mixed: float = 0.0
    """Width in pixels of the seam at edges whose pixels see both surfaces (time of flight)."""
    mixed_lost: float = 0.0
    """Share of the mixed pixels that the sensor notices and leaves out; the others fly."""
    grazing: float = 0.0
    """Cosine between normal and ray below which pixels are lost."""
    least_signal: float = 0.0
    """Least light that must come back: reflectance times cosine over squared distance."""
    hole_grain: float = 0.0
    """Over how many pixels chance loses alike."""

    def step(self, z: float) -> float:
        """The step between neighbouring depths near `z`: z^2 / (focal |baseline| levels), but at least the unit."""
        if not self.levels:
            return self.unit
        return max(self.unit, z * z / (self.focal * abs(self.baseline) * self.levels))


IDEAL = DepthSensor(name="ideal", triangulates=False, focal=1.0)

# Khoshelham and Elberink, "Accuracy and resolution of Kinect depth data", Sensors 2012: baseline 75 mm, disparity in 1/8 pixel, noise
# of half a step, so sigma = 1.425e-3 z^2 (z in metres). Slant and displaced edges: Nguyen, Izadi and Lovell, "Modeling Kinect sensor
# noise", 3DIMPVT 2012 (0.0001 / sqrt(z) (t / (pi/2 - t))^2; 0.8 pixels). Projector on the right, as its camera looks.
KINECT1 = DepthSensor(
    name="kinect1",
    triangulates=True,
    focal=DEPTH_CAMERAS["kinect1"].focal,
    nearest=0.5,
    farthest=5.0,
    unit=DEPTH_CAMERAS["kinect1"].unit,
    baseline=0.075,
    levels=8.0,
    axial=(0.0, 0.0, 1.425e-3),
    slant=(1e-4, -0.5),
    grain=4.0,
    lateral=0.8,
    lateral_grain=1.5,
    grazing=0.12,
    least_signal=0.015,
    hole_grain=2.0,
)

# Coded light with a projector on the left: unit 0.125 mm and 0.2 to 1.5 m after Zabatani et al., "Intel RealSense SR300 coded light depth
# camera", PAMI 2020. Focal length, baseline (from the widths of shadows), noise and losses as measured on frames of one SR305.
SR300 = DepthSensor(
    name="sr300",
    triangulates=True,
    focal=DEPTH_CAMERAS["sr300"].focal,
    nearest=0.2,
    farthest=1.5,
    unit=DEPTH_CAMERAS["sr300"].unit,
    baseline=-0.044,
    axial=(0.0, 0.0, 0.6e-3),
    slant=(3e-5, 0.0),
    grain=3.0,
    lateral=1.1,
    lateral_grain=1.5,
    edge_loss=4.0,
    grazing=0.15,
    least_signal=0.12,
    hole_grain=1.5,
)
SR305 = replace(SR300, name="sr305")  # the same module in another case

# Active stereo with the second camera on the right: baselines 55 and 50 mm, fields of view 65 and 90 degrees at 1280 and 848 pixels,
# disparity in 1/32 pixel, searched over 128: the maker's data sheet and Keselman et al., "Intel RealSense stereoscopic depth cameras",
# CVPRW 2017. Noise of 0.08 pixels of disparity: Grunnet-Jepsen et al., "Tuning depth cameras for best performance". Matching by windows
# makes both noise and edges smooth over several pixels; the extents are ours.
D415 = DepthSensor(
    name="d415",
    triangulates=True,
    focal=DEPTH_CAMERAS["d415"].focal,
    nearest=1004.0 * 0.055 / 128,
    farthest=10.0,
    unit=DEPTH_CAMERAS["d415"].unit,
    baseline=0.055,
    levels=32.0,
    axial=(0.0, 0.0, 0.08 / (1004.0 * 0.055)),
    slant=(1e-4, 0.0),
    grain=4.0,
    lateral=2.0,
    lateral_grain=4.0,
    edge_loss=1.5,
    grazing=0.12,
    least_signal=0.004,
    hole_grain=4.0,
)
D435 = DepthSensor(
    name="d435",
    triangulates=True,
    focal=DEPTH_CAMERAS["d435"].focal,
    nearest=424.0 * 0.05 / 128,
    farthest=10.0,
    unit=DEPTH_CAMERAS["d435"].unit,
    baseline=0.05,
    levels=32.0,
    axial=(0.0, 0.0, 0.08 / (424.0 * 0.05)),
    slant=(1e-4, 0.0),
    grain=3.0,
    lateral=1.5,
    lateral_grain=3.0,
    edge_loss=1.0,
    grazing=0.12,
    least_signal=0.004,
    hole_grain=3.0,
)

# Fankhauser et al., "Kinect v2 for mobile robot navigation", ICAR 2015: sigma = 1.5 - 0.5 z + 0.3 z^2 + 0.1 z^1.5 (t / (pi/2 - t))^2 in
# millimetres, z in metres; 512x424 pixels. Seams and losses are ours.
KINECT2 = DepthSensor(
    name="kinect2",
    triangulates=False,
    focal=DEPTH_CAMERAS["kinect2"].focal,
    nearest=0.5,
    farthest=4.5,
    unit=DEPTH_CAMERAS["kinect2"].unit,
    axial=(1.5e-3, -0.5e-3, 0.3e-3),
    slant=(1e-4, 1.5),
    lateral=0.4,
    mixed=1.5,
    mixed_lost=0.4,
    grazing=0.08,
    least_signal=0.01,
    hole_grain=0.7,
)

# Narrow field of view, unbinned: 640x576 pixels, 0.5 to 3.86 m, noise within 17 mm (the maker's specification). Tolgyessy et al.,
# "Evaluation of the Azure Kinect", Sensors 2021, confirm that bound; Kurillo et al., "Evaluating the accuracy of the Azure Kinect and
# Kinect v2", Sensors 2022, find both alike within 2.5 m and the Azure better beyond. The curve is ours; so are seams and losses.
AZURE = DepthSensor(
    name="azure",
    triangulates=False,
    focal=DEPTH_CAMERAS["azure"].focal,
    nearest=0.5,
    farthest=3.86,
    unit=DEPTH_CAMERAS["azure"].unit,
    axial=(0.6e-3, 0.0, 0.25e-3),
    slant=(1e-4, 1.5),
    lateral=0.3,
    mixed=2.0,
    mixed_lost=0.75,
    grazing=0.1,
    least_signal=0.012,
    hole_grain=0.7,
)

DEPTH_SENSORS = (IDEAL, KINECT1, SR300, SR305, D415, D435, KINECT2, AZURE)


@dataclass(frozen=True)
class ColourCamera:
    """A colour camera. 0 (or none) switches an effect off; crop pixels are those of a picture of 128."""

    name: str
    """What it is called."""
    exposure: float = 0.0
    """Standard deviation of the exposure's error in stops."""
    white_balance: float = 0.0
    """Standard deviation of the error of white balance: the logarithm of red's and blue's gain against green's."""
    vignetting: float = 0.0
    """Most light that is lost in a corner, as a share."""
    full_well: float = float("inf")
    """Electrons of a full pixel; the shot noise of n electrons is their root."""
    read_noise: float = 0.0
    """Electrons of noise that reading a pixel adds."""
    row_noise: float = 0.0
    """Electrons of noise that are alike along a row."""
    gains: tuple[float, float] = (1.0, 1.0)
    """Least and most amplification: at gain g a pixel is full with 1/g of the electrons."""
    pixels: tuple[float, float] = (1.0, 1.0)
    """Least and most of the camera's pixels along one of the crop: noise averages out over them."""
    processed: bool = False
    """Whether noise is alike in neighbouring pixels and channels, as demosaicing and noise reduction leave it."""
    banding: tuple[float, float] = (0.0, 0.0)
    """Share of the pictures with bands of a lamp that flickers while the shutter rolls, and their depth at most."""
    shake: float = 0.0
    """Median length of motion blur in crop pixels."""
    shutter: tuple[float, float] = (0.0, 0.0)
    """Least and most share of the time between frames that the shutter is open."""
    chroma: tuple[float, float] = (0.0, 0.0)
    """Least and most share of fine colour (not brightness) that noise reduction takes away."""
    jpeg: tuple[float, float] | None = None
    """Least and most quality of compression, 1..100."""
    bits: int = 0
    """Bits a channel; 0: not rounded."""


PERFECT_CAMERA = ColourCamera(name="ideal")

# Electrons are orders of magnitude as data sheets and measurements after the EMVA 1288 standard give them: pixels of 1.4 um hold some
# 5,000 and are read with 2 to 5, industrial global-shutter pixels of 3.5 um hold some 10,000 and are read with 2.5. The rest is ours.
WEBCAM = ColourCamera(
    name="webcam",
    exposure=0.35,
    white_balance=0.09,
    vignetting=0.35,
    full_well=5000.0,
    read_noise=5.0,
    row_noise=1.5,
    gains=(1.5, 20.0),
    pixels=(1.0, 2.5),
    processed=True,
    banding=(0.15, 0.12),
    shake=0.8,
    shutter=(0.2, 0.9),
    chroma=(0.3, 0.9),
    jpeg=(45.0, 92.0),
    bits=8,
)
PHONE = ColourCamera(
    name="phone",
    exposure=0.2,
    white_balance=0.05,
    vignetting=0.2,
    full_well=6000.0,
    read_noise=2.0,
    row_noise=0.3,
    gains=(1.0, 12.0),
    pixels=(1.5, 8.0),
    processed=True,
    banding=(0.04, 0.06),
    shake=0.4,
    shutter=(0.05, 0.6),
    chroma=(0.1, 0.6),
    jpeg=(75.0, 97.0),
    bits=8,
)
MACHINE_VISION = ColourCamera(
    name="machine_vision",
    exposure=0.25,
    white_balance=0.03,
    vignetting=0.25,
    full_well=10_500.0,
    read_noise=2.5,
    row_noise=0.3,
    gains=(1.0, 8.0),
    pixels=(1.0, 4.0),
    shake=0.15,
    shutter=(0.02, 0.2),
    bits=8,
)

COLOUR_CAMERAS = (PERFECT_CAMERA, WEBCAM, PHONE, MACHINE_VISION)
