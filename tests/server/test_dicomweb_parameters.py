"""Parameters of pictures and lists of frames: read, or refused in words, whatever is written."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from kahu.dicom.render import Window
from kahu.errors import BadRequest
from kahu.server.dicomweb.frames import frame_numbers
from kahu.server.dicomweb.look import Look, Source


def test_nothing_said() -> None:
    assert Look.parse(QueryParams("")) == Look(window=None, viewport=None, quality=90)


@pytest.mark.parametrize(
    ("query", "look"),
    [
        ("window=40,400", Look(window=Window(40, 400, "LINEAR"))),
        ("window=-1e2,.5,sigmoid", Look(window=Window(-100, 0.5, "SIGMOID"))),
        ("window=0,1,linear-exact", Look(window=Window(0, 1, "LINEAR_EXACT"))),
        ("viewport=512,256&quality=1", Look(viewport=(512, 256), quality=1)),
        ("annotation=patient", Look()),
        ("viewport=64,32,10.5,,-20,0", Look(viewport=(64, 32), source=Source(10.5, 0, -20, 0))),
        ("viewport=64,32,,,,", Look(viewport=(64, 32))),
    ],
)
def test_how_a_picture_is_wanted(query: str, look: Look) -> None:
    assert Look.parse(QueryParams(query)) == look


@given(
    st.sampled_from(["window", "viewport", "quality"]), st.text() | st.from_regex(r"[-0-9.,e]{1,9}(,linear)?")
)
def test_any_parameter_is_read_or_refused_by_name(name: str, value: str) -> None:
    try:
        look = Look.parse(QueryParams([(name, value)]))
    except BadRequest as refused:
        message = str(refused)
    else:
        message = name
        assert 1 <= look.quality <= 100
        assert look.viewport is None or min(look.viewport) >= 1
    assert message.startswith(name)


@given(st.lists(st.integers(0, 10**9 - 1), min_size=1))
def test_a_list_of_frames(numbers: list[int]) -> None:
    assert frame_numbers(",".join(map(str, numbers))) == numbers


@given(st.text())
def test_any_text_is_a_list_of_frames_or_refused(text: str) -> None:
    try:
        assert frame_numbers(text)
    except BadRequest:
        assert not text.isdigit() or len(text) > 9 or not text.isascii()


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (Source(), [[0, 1, 2], [3, 4, 5]]),
        (Source(1, 0, 2, 1), [[1, 2]]),
        (Source(1, 1), [[4, 5]]),
        (Source(0, 0, -3, 0), [[2, 1, 0], [5, 4, 3]]),
        (Source(0, 0, 0, -2), [[3, 4, 5], [0, 1, 2]]),
        (Source(-5, 0, 6, 1), [[0]]),
        (Source(2, 1, 50, 50), [[5]]),
    ],
)
def test_a_part_of_an_image_is_cut_out_and_turned_over(source: Source, shown: list[list[int]]) -> None:
    assert source.cut(np.arange(6, dtype=np.uint8).reshape(2, 3)).tolist() == shown


@pytest.mark.parametrize("source", [Source(3, 0), Source(0, 2), Source(-9, 0, 3, 3)])
def test_a_part_outside_the_image_is_refused(source: Source) -> None:
    with pytest.raises(BadRequest):
        source.cut(np.zeros((2, 3), np.uint8))
