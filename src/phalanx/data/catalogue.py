"""Every public set that can be read."""

from phalanx.data.hgr import HGR
from phalanx.data.interhand import InterHand
from phalanx.data.msra15 import MSRA15
from phalanx.data.nyu import NYU
from phalanx.data.panoptic_hands import PanopticHands
from phalanx.data.rhd import RHD
from phalanx.data.senz3d import Senz3D

DATASETS = (RHD, NYU, MSRA15, InterHand, PanopticHands, HGR, Senz3D)
