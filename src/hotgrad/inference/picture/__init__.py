"""The picture of a fit; needs matplotlib, so nothing imports it before a picture is drawn."""

from hotgrad.inference.picture.page import draw

__all__ = ["draw"]
