"""Arrays of different heights and widths in one flat file that is mapped into memory.

`<split>_<kind>.npy` holds the values of all items, one after the other, and `<split>_<kind>_sizes.npy`,
int32 (N, 2), their heights and widths.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy as np


def sizes_file(path: Path) -> Path:
    """Return the path of the sizes of a flat file's items.

    >>> sizes_file(Path("train_images.npy")).name
    'train_images_sizes.npy'
    """
    return path.with_name(f"{path.stem}_sizes.npy")


class Ragged(Sequence[np.ndarray]):
    """A read-only sequence of arrays (H_i, W_i, *rest) of one type; an item is a view into the flat file.

    Pickled, it is the path and the sizes: another process maps the file itself. Items cannot be written to.
    """

    def __init__(self, path: Path, sizes: np.ndarray, rest: tuple[int, ...] = ()) -> None:
        """Map a flat .npy file: `sizes` (N, 2) are heights and widths, `rest` the other dimensions.

        Raises ValueError where the file is no flat array of as many values as the sizes say, OSError or
        EOFError where it cannot be read.
        """
        self.path, self.rest = Path(path), tuple(rest)
        self.sizes = np.array(sizes, np.int64).reshape(-1, 2)
        self.sizes.flags.writeable = False
        values = self.sizes.prod(axis=1) * int(np.prod(self.rest, dtype=np.int64))
        self._ends = np.cumsum(values)
        self._flat = np.load(self.path, mmap_mode="r", allow_pickle=False)
        total = int(self._ends[-1]) if len(self) else 0
        if self._flat.shape != (total,):
            raise ValueError(f"{self.path} has the shape {list(self._flat.shape)}, and not [{total}]")

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._flat.dtype

    def __len__(self) -> int:
        return len(self.sizes)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> list[np.ndarray]: ...
    def __getitem__(self, index: int | slice) -> np.ndarray | list[np.ndarray]:
        """Item `index` (H, W, *rest); negative indices count from the end, a slice is a list of items."""
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        number = operator.index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"there are {len(self)} items, and no item {number}")
        number %= len(self)
        start = int(self._ends[number - 1]) if number else 0
        height, width = map(int, self.sizes[number])
        return self._flat[start : int(self._ends[number])].reshape(height, width, *self.rest)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[n] for n in range(len(self)))

    def __reduce__(self) -> tuple[type[Ragged], tuple[Path, np.ndarray, tuple[int, ...]]]:
        return Ragged, (self.path, self.sizes, self.rest)

    def __repr__(self) -> str:
        return f"Ragged({str(self.path)!r}, {len(self)} items of {self.dtype})"


class RaggedWriter:
    """The writer of a flat file: items of any size, in their order, one at a time in memory."""

    def __init__(self, path: Path, dtype: type[np.generic], rest: tuple[int, ...] = ()) -> None:
        self.path, self.dtype, self.rest = path, np.dtype(dtype), rest
        self.sizes: list[tuple[int, int]] = []
        self.values = 0
        self._file: BinaryIO = open(path, "wb")  # noqa: SIM115 (closed by close)
        self._begin = self._write_header()

    def _write_header(self) -> int:
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False}
        # NumPy leaves room in a header for a first axis of any length, so that it can be written again.
        np.lib.format.write_array_header_1_0(self._file, header | {"shape": (self.values,)})
        return self._file.tell()

    def append(self, item: np.ndarray) -> None:
        """Write the next item (H, W, *rest), which is converted to the file's type."""
        assert item.shape[2:] == self.rest
        self.sizes.append((item.shape[0], item.shape[1]))
        self.values += item.size
        self._file.write(np.ascontiguousarray(item, self.dtype).data)

    def close(self) -> None:
        """Finish the flat file, and write the sizes beside it."""
        self._file.seek(0)
        assert self._write_header() == self._begin
        self._file.close()
        np.save(sizes_file(self.path), np.array(self.sizes, np.int32).reshape(-1, 2))

    def abandon(self) -> None:
        """Close the file without finishing it."""
        self._file.close()
