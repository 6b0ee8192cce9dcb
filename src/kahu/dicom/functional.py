"""Attributes of one frame, wherever the object keeps them: in functional groups (PS3.3 C.7.6.16) or at the
top.
"""

from typing import Any

from pydicom.dataset import Dataset

__all__ = ["frame_item", "frame_value"]


def frame_item(dataset: Dataset, number: int, macro: str) -> Dataset | None:
    """The item of a functional group macro (``PlanePositionSequence``, say) that holds for frame `number`
    (from 1).

    Its own comes before the shared one; None: there is neither.
    """
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for group in [*per_frame[number - 1 : number], *shared[:1]]:
        if items := group.get(macro):
            item: Dataset = items[0]
            return item
    return None


def frame_value(dataset: Dataset, number: int, macro: str, keyword: str) -> Any:
    """The value of an attribute for frame `number`: of its functional group, or else of the object; None:
    empty, absent.
    """
    item = frame_item(dataset, number, macro)
    value = None if item is None else item.get(keyword)
    if value is None or value == "":
        value = dataset.get(keyword)
    return None if value == "" else value
