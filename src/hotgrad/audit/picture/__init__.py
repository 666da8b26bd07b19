"""The picture of an audit; needs matplotlib, so nothing imports it before a picture is drawn."""

from hotgrad.audit.picture.page import draw

__all__ = ["draw"]
