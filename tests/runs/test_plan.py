"""What a run is: the same question is the same run, and what does not fit is said before anything starts."""

from dataclasses import replace
from pathlib import Path

import pytest

from kahu.errors import BadRequest
from kahu.runs.plan import Case, plan, unfit
from kahu.tools.manifest import Code, Input, Output, Parameter, Program, Segment, Tool

HEAD = Case("1.2.1", "1.2", "f1", "MR", 3, 20, 20)
KNEE = Case("1.2.2", "1.2", "f2", "MR", 4, 24, 24)

TOOL = Tool(
    name="brain",
    version="1.0.0",
    title="Brain extraction",
    description="Marks the brain.",
    licence="MIT",
    input=Input(modality=("MR",), min_slices=8),
    run=Program(command=("python", "brain.py", "{input}", "{output}", "{threshold}")),
    output=Output(
        kind="segmentation",
        title="Brain",
        file="brain.nii.gz",
        segments=(
            Segment(
                1, "Brain", Code("123037004", "SCT", "Anatomical Structure"), Code("12738006", "SCT", "Brain")
            ),
        ),
    ),
    parameters={"threshold": Parameter(type="number", default=0.5, minimum=0, maximum=1)},
    folder=Path("/nowhere"),
    digest="d1",
)


def test_each_case_becomes_a_task_with_all_that_its_handler_needs() -> None:
    planned = plan(TOOL, [HEAD, KNEE], {})
    assert [task.payload for task in planned.tasks] == [
        {
            "series": uid,
            "study": "1.2",
            "instances": count,
            "tool": "brain",
            "digest": "d1",
            "parameters": {"threshold": 0.5},
        }
        for uid, count in (("1.2.1", 20), ("1.2.2", 24))
    ]
    assert {task.kind for task in planned.tasks} == {"case"}
    assert {task.run for task in planned.tasks} == {planned.run}
    assert planned.tasks[0].title == "MR series 3, 20 slices"


def test_the_same_question_is_the_same_run() -> None:
    first = plan(TOOL, [HEAD, KNEE], {})
    again = plan(TOOL, [KNEE, HEAD, KNEE], {"threshold": 0.5})
    assert again == first
    assert len({task.id for task in first.tasks}) == 2


@pytest.mark.parametrize(
    ("tool", "cases", "parameters"),
    [
        (replace(TOOL, digest="d2"), [HEAD, KNEE], {}),
        (TOOL, [HEAD], {}),
        (TOOL, [replace(HEAD, fingerprint="changed"), KNEE], {}),
        (TOOL, [HEAD, KNEE], {"threshold": 0.6}),
    ],
    ids=["another tool", "other cases", "changed bytes", "other parameters"],
)
def test_another_question_is_another_run(tool: Tool, cases: list[Case], parameters: dict[str, float]) -> None:
    first, other = plan(TOOL, [HEAD, KNEE], {}), plan(tool, cases, parameters)
    assert other.run != first.run
    assert not {task.id for task in other.tasks} & {task.id for task in first.tasks}


@pytest.mark.parametrize("wrong", [{"threshold": 2}, {"threshold": "high"}, {"treshold": 0.5}])
def test_a_wrong_parameter_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(BadRequest) as caught:
        plan(TOOL, [HEAD], wrong)
    assert next(iter(wrong)) in str(caught.value)


def test_without_a_case_there_is_no_run() -> None:
    with pytest.raises(BadRequest, match="no series"):
        plan(TOOL, [], {})


def test_cases_that_do_not_fit_are_refused_with_reasons() -> None:
    scout = replace(HEAD, series="1.2.9", slices=3)
    chest = replace(HEAD, series="1.2.8", modality="CT", slices=1, number=None)
    assert unfit(TOOL, HEAD) == ""
    assert unfit(TOOL, scout) == "it has 3 slices, fewer than 8"
    assert unfit(TOOL, chest) == "its modality is CT, not MR; it has 1 slice, fewer than 8"
    with pytest.raises(BadRequest) as caught:
        plan(TOOL, [HEAD, scout, chest], {})
    assert str(caught.value) == (
        "2 of 3 series do not fit Brain extraction: "
        "CT, 1 slice (1.2.8): its modality is CT, not MR; it has 1 slice, fewer than 8. "
        "MR series 3, 3 slices (1.2.9): it has 3 slices, fewer than 8"
    )
    assert caught.value.hint


def test_of_many_that_do_not_fit_a_few_are_told() -> None:
    many = [replace(HEAD, series=f"1.2.{n}", slices=1) for n in range(100)]
    with pytest.raises(BadRequest) as caught:
        plan(TOOL, many, {})
    assert str(caught.value).startswith("100 of 100 series")
    assert str(caught.value).endswith("and 97 more")
