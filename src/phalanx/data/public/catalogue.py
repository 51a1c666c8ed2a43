"""Every set that can be read."""

from phalanx.data.folders import DepthFolder, PictureFolder, RigFolder, VideoFolder
from phalanx.data.public.dexter_object import DexterObject
from phalanx.data.public.dexycb import DexYCB
from phalanx.data.public.ego_dexter import EgoDexter
from phalanx.data.public.freihand import FreiHAND
from phalanx.data.public.ge2019 import Ge2019Real, Ge2019Synthetic
from phalanx.data.public.hands2017 import HANDS2017
from phalanx.data.public.hgr import HGR
from phalanx.data.public.ho3d import HO3D
from phalanx.data.public.icvl import ICVL
from phalanx.data.public.interhand import InterHand
from phalanx.data.public.mhp import MHP
from phalanx.data.public.msra15 import MSRA15
from phalanx.data.public.nyu import NYU
from phalanx.data.public.panoptic_hands import PanopticHands
from phalanx.data.public.rhd import RHD
from phalanx.data.public.rwth import RWTH
from phalanx.data.public.senz3d import Senz3D
from phalanx.data.public.stb import STB

PUBLIC_SETS = (
    RHD, STB, MHP, FreiHAND, HO3D, DexYCB, InterHand, PanopticHands, Ge2019Synthetic, Ge2019Real,
    NYU, MSRA15, ICVL, HANDS2017, DexterObject, EgoDexter,
    HGR, RWTH, Senz3D,
)  # fmt: skip
"""Sets as their authors distribute them: colour and colour with depth, depth, gestures."""

PLAIN_FOLDERS = (RigFolder, DepthFolder, VideoFolder, PictureFolder)
"""Folders of one's own, the most particular first: any picture makes a folder of pictures."""
