"""Every set that can be read."""

from phalanx.data.dexter_object import DexterObject
from phalanx.data.dexycb import DexYCB
from phalanx.data.ego_dexter import EgoDexter
from phalanx.data.folders import DepthFolder, PictureFolder, RigFolder, VideoFolder
from phalanx.data.freihand import FreiHAND
from phalanx.data.ge2019 import Ge2019Real, Ge2019Synthetic
from phalanx.data.hands2017 import HANDS2017
from phalanx.data.hgr import HGR
from phalanx.data.ho3d import HO3D
from phalanx.data.icvl import ICVL
from phalanx.data.interhand import InterHand
from phalanx.data.mhp import MHP
from phalanx.data.msra15 import MSRA15
from phalanx.data.nyu import NYU
from phalanx.data.panoptic_hands import PanopticHands
from phalanx.data.rhd import RHD
from phalanx.data.rwth import RWTH
from phalanx.data.senz3d import Senz3D
from phalanx.data.stb import STB

PUBLIC_SETS = (
    RHD, STB, MHP, FreiHAND, HO3D, DexYCB, InterHand, PanopticHands, Ge2019Synthetic, Ge2019Real,
    NYU, MSRA15, ICVL, HANDS2017, DexterObject, EgoDexter,
    HGR, RWTH, Senz3D,
)  # fmt: skip
"""Sets as their authors distribute them: colour and colour with depth, depth, gestures."""

PLAIN_FOLDERS = (RigFolder, DepthFolder, VideoFolder, PictureFolder)
"""Folders of one's own, the most particular first: any picture makes a folder of pictures."""
