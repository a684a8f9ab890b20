"""NYUD-v2 at a size of its own: the same files, for rows that learn from larger images than the paper's rows.

A scale prepares a dataset at one size. Below full size the rows of pretrained networks can use more pixels
than those that learn from random weights in a few steps.
"""

from __future__ import annotations

from .nyudv2 import DATASET as NYUDV2

DATASET = NYUDV2
