"""Random numbers by position: equal at equal positions, in any order and at any size."""

from __future__ import annotations

import numpy as np

_PRIMES = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)


def _spread(cells: np.ndarray | int, axis: int) -> np.ndarray:
    return np.asarray(cells).astype(np.int64).astype(np.uint32) * np.uint32(_PRIMES[axis])


def _mix(n: np.ndarray, seed: int) -> np.ndarray:
    """Hash by two rounds of xor-shift and multiply: neighbouring cells get unrelated numbers in [0, 1)."""
    n = n + np.uint32((seed * 0x27D4EB2F + 0x165667B1) & 0xFFFFFFFF)
    n = (n ^ (n >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    n = (n ^ (n >> np.uint32(12))) * np.uint32(0x297A2D39)
    return (n ^ (n >> np.uint32(15))) * (1 / 2**32)


def cell(x: np.ndarray, y: np.ndarray, z: np.ndarray | int, seed: int) -> np.ndarray:
    """Return a number in [0, 1) for each integer cell (x, y, z).

    >>> here, there = cell(np.array([1, 2]), np.array([2, 2]), 3, seed=0)
    >>> bool(here == cell(np.array([1]), np.array([2]), 3, seed=0)[0]), bool(here == there)
    (True, False)
    """
    return _mix(_spread(x, 0) ^ _spread(y, 1) ^ _spread(z, 2), seed)


def grain(points: np.ndarray, seed: int) -> np.ndarray:
    """Return a number in [0, 1) for the unit cell that each of `points` (3, N) lies in."""
    x, y, z = np.floor(points)
    return cell(x, y, z, seed)


def smooth(points: np.ndarray, seed: int = 0) -> np.ndarray:
    """Value noise in [0, 1) at `points` (3, N), one lattice cell a unit; smooth between lattice points."""
    base = np.floor(points)
    f = points - base
    fx, fy, fz = f * f * (3 - 2 * f)
    # the two lattice planes around each point, on each axis
    x, y, z = ((_spread(base[axis], axis), _spread(base[axis] + 1, axis)) for axis in range(3))

    def row(j: int, k: int) -> np.ndarray:
        plane = y[j] ^ z[k]
        low, high = _mix(x[0] ^ plane, seed), _mix(x[1] ^ plane, seed)
        return low + fx * (high - low)

    near, far = ((1 - fy) * row(0, k) + fy * row(1, k) for k in (0, 1))
    return near + fz * (far - near)
