"""The paper: redact the image, regenerate it from what is left and the prediction, compare.

`wrapper.py` joins the steps (`DejaVu`): `redaction/` destroys structure, `conditioning.py` makes a condition
of the network's prediction, `regeneration.py` (the CRM) restores the image from both, `loss.py` compares it
with the original. Extensions: `attention.py` (DejaVu-SA), `text.py` (DejaVu-TS), `cycle.py` (DejaVu-CL) and
`perceptual.py`. No module here reads a configuration file or imports a base network.
"""

from __future__ import annotations

from .wrapper import DejaVu

__all__ = ["DejaVu"]
