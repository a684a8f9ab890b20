"""The classes and the split that labels and frames of NYU Depth v2's official file belong to.

The official file says neither. These are the numbers of classMapping40.mat (the 40 classes of Gupta et al.,
CVPR 2013), class13Mapping.mat (the 13 of Couprie et al., ICLR 2013, as numbered for SceneNet) and splits.mat,
as github.com/ankurhanda/nyuv2-meta-data publishes them.
"""

from __future__ import annotations

import numpy as np

from ..dataset import IGNORE

TO_13 = (
    11, 4, 5, 0, 3, 8, 9, 11, 12, 5, 7, 5, 12, 9, 5, 12, 5, 6, 6, 4,
    6, 2, 1, 5, 10, 6, 6, 6, 6, 6, 6, 5, 6, 6, 6, 6, 6, 6, 5, 6,
)  # fmt: skip
"""the class of 13 that each class of 40 belongs to"""

LABELS = 894
"""labels of the official file, numbered from 1; 0 is unlabelled"""
FRAMES = 1449

_ALONE = (
    21, 11, 3, 157, 5, 83, 19, 28, 59, 88, 64, 7, 80, 36, 42, 89, 169, 119, 122, 143, 141, 4, 85, 17, 172, 15,
    135, 123, 26, 45, 331, 158, 124, 24, 144, 136, 55,
)  # fmt: skip
"""the one label that each of the first 37 classes of 40 has, from wall to bag"""
_STRUCTURE = (
    8, 25, 33, 38, 51, 53, 57, 58, 62, 65, 79, 94, 104, 112, 134, 153, 215, 216, 223, 225, 238, 241, 242, 256,
    295, 301, 339, 342, 354, 363, 372, 380, 392, 408, 412, 453, 456, 463, 477, 497, 541, 550, 553, 567, 573,
    582, 591, 609, 612, 615, 642, 645, 657, 658, 659, 663, 667, 668, 686, 700, 702, 777, 778, 782, 850, 861,
    868, 874,
)  # fmt: skip
"""labels of class 37 of 40, other structure"""
_FURNITURE = (
    12, 43, 48, 50, 87, 106, 111, 161, 163, 174, 183, 204, 214, 219, 221, 224, 236, 262, 278, 291, 298, 313,
    343, 344, 356, 359, 373, 393, 401, 414, 418, 419, 430, 443, 444, 447, 448, 457, 458, 460, 462, 475, 479,
    485, 486, 493, 494, 498, 499, 509, 510, 515, 521, 524, 540, 549, 551, 554, 556, 558, 576, 580, 608, 625,
    703, 734, 770, 772, 797, 800, 803, 804, 813, 814, 815, 820, 829, 835, 858, 863, 882, 892,
)  # fmt: skip
"""labels of class 38 of 40, other furniture; all that are not named here are of class 39, other things"""

_TRAIN = """
3-8 10-13 19-20 22-27 44-45 48-55 58 64-75 80-83 92-116 120-124 130 135-136 138-152 156-166 170 177-179
203-206 213-219 223-249 251-263 265-270 274-278 286-295 303-309 313-314 318-324 336-350 353-354 365-383
391-394 398-410 415-429 436-440 449-461 467-468 478-507 514 527-530 534-536 540-548 552-554 572-578
584-590 595-602 608-611 614-616 622-632 639-643 646-649 652-655 659-662 665-667 674-675 682-685 691-692
695-696 700-705 714-716 719-723 729-730 735-742 745-758 788-799 805-809 815-820 824-832 847-849 853-856
863-868 872-905 909-916 920-925 929-931 936-944 948-958 963-964 968-969 978-990 996-1000 1005-1009
1013-1020 1024-1031 1035-1037 1040-1047 1050-1051 1054-1056 1059-1074 1085-1087 1097 1105 1110-1116
1120-1122 1132-1134 1137-1143 1159-1161 1168-1169 1172-1173 1177-1178 1185-1191 1197-1200 1213-1215
1221-1225 1231-1232 1236-1246 1251-1253 1266-1274 1281-1284 1296 1300-1301 1309-1313 1316-1328 1333-1334
1341-1346 1350-1352 1357-1363 1366-1367 1370-1383 1392-1393 1402-1406 1415-1420 1425-1429 1434-1440
"""
"""first and last numbers of the consecutive frames that are trained on"""


def frames(split: str) -> list[int]:
    """Return the numbers, from 1, of the frames of `train` or `test`, in order.

    >>> len(frames("train")), frames("test")[:3]
    (795, [1, 2, 9])
    """
    ends = [tuple(map(int, run.split("-"))) for run in _TRAIN.split()]
    train = {number for run in ends for number in range(run[0], run[-1] + 1)}
    return [number for number in range(1, FRAMES + 1) if (number in train) == (split == "train")]


def to_40() -> np.ndarray:
    """Return the class of 40, 0 to 39, of each label of the official file: uint8 (895,), 255 = unlabelled.

    >>> to_40()[[0, 21, 11, 1]].tolist()
    [255, 0, 1, 39]
    """
    table = np.full(LABELS + 1, 39, np.uint8)
    table[0] = IGNORE
    table[list(_ALONE)] = range(len(_ALONE))
    table[list(_STRUCTURE)], table[list(_FURNITURE)] = 37, 38
    return table


def to_13() -> np.ndarray:
    """Return the train id of each label of the official file: uint8 (895,), 255 = unlabelled.

    >>> to_13()[[0, 21, 11, 1]].tolist()
    [255, 11, 4, 6]
    """
    table = np.full(IGNORE + 1, IGNORE, np.uint8)
    table[: len(TO_13)] = TO_13
    return table[to_40()]
