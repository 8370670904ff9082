"""AffectSRNet (the paper's sections III-B to III-D): configuration and network."""

from model_store.affectsrnet.config import AffectSRNetConfig
from model_store.affectsrnet.network import AffectSRNet

__all__ = ["AffectSRNet", "AffectSRNetConfig"]
