"""Queries: the same answers as a plain filter over all objects, within a scope, in a stable order."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kahu.catalog import gallery, search, tags
from kahu.catalog.fold import fold
from kahu.catalog.scope import ALL
from kahu.dicom.attributes import LEVEL_OF, UNIQUE, Level, vr_of
from kahu.dicom.query import Match, Query
from kahu.errors import BadRequest, NotFound
from kahu.testing import samples
from kahu.testing.catalogue import Catalogue, open_catalogue

Row = dict[str, str]

NAMES = ["Müller^Jörg", "MULLER^JORG", "Noa^Kealoha", "Yamada^Tarou=山田^太郎=やまだ^たろう", "[x]^50%_a", ""]
DESCRIPTIONS = ["Chest", "chest CT", "T1 [sag]", "50% dose_x", "a*b?", ""]
DATES = ["20240101", "20240517", "19991231", ""]
TYPES = [["ORIGINAL", "PRIMARY"], ["DERIVED", "SECONDARY", "MPR"], ["ORIGINAL", "PRIMARY", "MPR_1"]]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """Two stores with some studies each, of several series and instances, with much in common."""
    home = tmp_path_factory.mktemp("search")
    n = 0
    for study in range(8):
        for series in range(1 + study % 3):
            for number in range(1, 3 + series):
                n += 1
                modality = ("CT", "MR")[(study + series) % 2]
                dataset = samples.instance(
                    modality="CT" if modality == "CT" else "MR",
                    number=number,
                    rows=4 + 4 * (n % 2),
                    columns=4,
                    patient_id=f"P-{study // 2}",
                    study_uid=f"1.2.{study}",
                    series_uid=f"1.2.{study}.{series}",
                    description=DESCRIPTIONS[(study * 2 + series) % 6],
                    attributes={
                        "PatientName": NAMES[study // 2 % 6],
                        "StudyDate": DATES[study % 4],
                        "StudyTime": ("101530.5", "2359", "")[study % 3],
                        "StudyDescription": DESCRIPTIONS[study % 6],
                        "SeriesNumber": str(series * 10),
                        "SliceThickness": ("2", "2.0", "5")[series],
                        "ImageType": TYPES[n % 3],
                    },
                )
                samples.save(dataset, home / f"store{study % 2}" / f"{n}.dcm")
    catalogue = open_catalogue(home / "home")
    for folder in ("store0", "store1"):
        catalogue.scan(catalogue.add(home / folder))
    yield catalogue
    catalogue.database.close()


# A plain filter, as the standard says it

LEVELS: list[tuple[Level, int]] = [("STUDY", 1), ("SERIES", 2), ("IMAGE", 3)]
DEPTH = {"PATIENT": 0, "STUDY": 1, "SERIES": 2, "IMAGE": 3}


def holds(match: Match, row: Row) -> bool:
    text = row.get(match.keyword, "")
    if vr_of(match.keyword) == "PN":
        text = fold(text) or ""
        values = [fold(value) or "" for value in match.values]
        parts = [text, *text.split("=")]
    else:
        values, parts = list(match.values), text.split("\\")
    match match.kind:
        case "empty":
            return not text
        case "range":
            return text != "" and values[0] <= text <= (values[1] or "~")
        case "wildcard":
            pattern = "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in values[0])
            return any(re.fullmatch(pattern, part, re.DOTALL) for part in parts)
        case "text":
            return all(
                any(word.startswith(value) for word in re.split(r"[\s^=,\\]", text)) for value in values
            )
        case _:
            if vr_of(match.keyword) in ("DS", "IS"):
                return any(part and float(part) == float(value) for part in parts for value in values)
            return bool(set(parts) & set(values))


def naive(rows: Sequence[Row], query: Query) -> set[str]:
    """UIDs of the query's level of all instances that meet every condition: what speaks of lower levels must
    hold for one and the same."""
    return {row[UNIQUE[query.level]] for row in rows if all(holds(match, row) for match in query.matches)}


KEYWORDS = {
    "PatientName": NAMES,
    "PatientID": ["P-0", "P-1", "P-9"],
    "StudyDate": [*DATES, "20240101"],
    "StudyDescription": DESCRIPTIONS,
    "SeriesDescription": DESCRIPTIONS,
    "Modality": ["CT", "MR", "SR"],
    "SeriesInstanceUID": ["1.2.0.0", "1.2.1.1", "1.2.9"],
    "SeriesNumber": ["0", "10", "+10", "7"],
    "SliceThickness": ["2", "2.0", "2.00", "5"],
    "InstanceNumber": ["1", "2", "9"],
    "ImageType": ["ORIGINAL", "MPR", "PRIMARY"],
    "Rows": ["4", "8"],
}
NO_WILDCARDS = {"StudyDate", "SeriesInstanceUID", "SeriesNumber", "SliceThickness", "InstanceNumber", "Rows"}


@st.composite
def matches(draw: st.DrawFn) -> Match:
    keyword = draw(st.sampled_from(sorted(KEYWORDS)))
    value = st.sampled_from([v for v in KEYWORDS[keyword] if v and not set(v) & set("*?")])
    kinds = ["exact", "list", "empty"]
    kinds += ["range"] if keyword == "StudyDate" else []
    kinds += ["wildcard"] if keyword not in NO_WILDCARDS else []
    kinds += ["text"] if keyword == "PatientName" else []
    kind = draw(st.sampled_from(kinds))
    if kind == "empty":
        return Match((keyword,), "empty")
    if kind == "range":
        first, last = sorted([draw(value), draw(value)])
        return Match((keyword,), "range", draw(st.sampled_from([(first, last), ("", last), (first, "")])))
    if kind == "wildcard":
        text = draw(st.sampled_from([v for v in KEYWORDS[keyword] if v]))
        begin = draw(st.integers(0, len(text)))
        end = draw(st.integers(begin, len(text)))
        pattern = draw(st.sampled_from(["*{}", "{}*", "*{}*", "?{}*", "{}?"])).format(text[begin:end])
        return Match((keyword,), "wildcard", (draw(st.sampled_from([pattern, pattern.upper()])),))
    if kind == "text":
        return Match((keyword,), "text", (draw(st.sampled_from(["mull", "JÖR", "noa", "oa", "山", "taro"])),))
    if kind == "list":
        return Match((keyword,), "list", tuple(draw(st.lists(value, min_size=1, max_size=3))))
    return Match((keyword,), "exact", (draw(value),))


@given(
    level=st.sampled_from(["STUDY", "SERIES", "IMAGE"]),
    conditions=st.lists(matches(), max_size=3, unique_by=lambda match: match.keyword),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_search_finds_what_a_plain_filter_finds(
    full: Catalogue, level: Level, conditions: list[Match]
) -> None:
    everything = full.ask(Query("IMAGE")).rows
    query = Query(level, tuple(conditions))
    answer = full.ask(query)
    uids = [row[UNIQUE[level]] for row in answer.rows]
    assert len(uids) == len(set(uids))
    assert set(uids) == naive(everything, query)
    with full.database.read() as db:
        assert search.count(db, query, ALL) == len(uids)


# What is answered


def test_a_study_tells_what_is_in_it(full: Catalogue) -> None:
    (row,) = full.ask(Query("STUDY", study="1.2.2", include=("all",))).rows
    assert row["PatientID"] == "P-1"
    assert row["ModalitiesInStudy"] == "CT\\MR"
    assert row["NumberOfStudyRelatedSeries"] == "3"
    assert row["NumberOfStudyRelatedInstances"] == "9"
    assert row["NumberOfPatientRelatedStudies"] == "1"  # the other study of P-1 is in another store
    assert row["InstanceAvailability"] == "ONLINE"


def test_rows_hold_the_attributes_of_their_level_and_above(full: Catalogue) -> None:
    for level, depth in LEVELS:
        row = full.ask(Query(level, study="1.2.2")).rows[0]
        assert all(DEPTH[LEVEL_OF[keyword]] <= depth for keyword in row if keyword in LEVEL_OF)
        assert row["PatientName"] == "MULLER^JORG"
        assert all(row.values())


def test_modalities_in_study_speak_of_the_whole_study(full: Catalogue) -> None:
    both = (Match(("ModalitiesInStudy",), "exact", ("MR",)), Match(("Modality",), "exact", ("CT",)))
    uids = {row["StudyInstanceUID"] for row in full.ask(Query("STUDY", both)).rows}
    assert uids == {f"1.2.{n}" for n in range(8) if n % 3}


def test_what_is_computed_is_not_matched_and_this_is_said(full: Catalogue) -> None:
    answer = full.ask(Query("STUDY", (Match(("NumberOfStudyRelatedSeries",), "exact", ("2",)),)))
    assert len(answer.rows) == 8
    assert answer.ignored == ("NumberOfStudyRelatedSeries",)


@pytest.mark.parametrize("level", ["STUDY", "SERIES", "IMAGE"])
def test_pages_join_to_the_whole(full: Catalogue, level: Level) -> None:
    whole = full.ask(Query(level)).rows
    joined: list[Row] = []
    more = True
    while more:
        page = full.ask(Query(level, limit=5, offset=len(joined)))
        joined, more = joined + page.rows, page.more
    assert joined == whole
    assert full.ask(Query(level, limit=0)).rows == []


def test_instances_come_in_the_order_of_their_numbers(full: Catalogue) -> None:
    rows = full.ask(Query("IMAGE", series="1.2.2.2")).rows
    assert [row["InstanceNumber"] for row in rows] == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("text", "series"),
    [
        ("müller", 2 + 3 + 1 + 2 + 3 + 1),
        ("1.2.7.1 mr", 0),
        ("1.2.7.1", 1),
        ("P-3 chest", None),
        ("50% dose_x", None),
        ("checked", 1),
        ("nothing like it", 0),
    ],
)
def test_free_text_finds_every_word_somewhere(full: Catalogue, text: str, series: int | None) -> None:
    tags.put(full.database, "1.2.0.0", "Checked", "me", ALL)
    found = full.ask(Query("SERIES", text=text)).rows
    if series is not None and text != "müller":
        assert len(found) == series
    for row in found:
        words = (
            fold(" ".join([*row.values(), "Checked" if row["SeriesInstanceUID"] == "1.2.0.0" else ""])) or ""
        )
        assert all((fold(word) or "") in words for word in text.split())
    assert bool(found) == (series != 0)
    tags.remove(full.database, "1.2.0.0", "Checked", ALL)


# Facets, the gallery, tags


def test_a_facet_is_not_limited_by_its_own_conditions(full: Catalogue) -> None:
    query = Query("SERIES", (Match(("Modality",), "exact", ("CT",)), Match(("store",), "exact", ("store0",))))
    with full.database.read() as db:
        facets = search.facets(db, query, ALL, ["Modality", "store", "PatientID", "tag", "verdict"])
        in_store = search.count(db, Query("SERIES", query.matches[1:]), ALL)
        ct = search.count(db, Query("SERIES", query.matches[:1]), ALL)
    assert sum(count for _, count in facets["Modality"]) == in_store
    assert sum(count for _, count in facets["store"]) == ct
    assert facets["tag"] == facets["verdict"] == []
    counts = [count for _, count in facets["Modality"]]
    assert counts == sorted(counts, reverse=True)


def test_tags_are_set_once_found_and_taken_away(full: Catalogue) -> None:
    tagged = Query("SERIES", (Match(("tag",), "exact", ("good",)),))
    for _ in range(2):
        tags.put(full.database, "1.2.1.0", " good ", "me", ALL)
    assert [row["SeriesInstanceUID"] for row in full.ask(tagged).rows] == ["1.2.1.0"]
    assert full.summary("1.2.1.0").tags == ("good",)
    for _ in range(2):
        tags.remove(full.database, "1.2.1.0", "good", ALL)
    assert full.ask(tagged).rows == []


@pytest.mark.parametrize("label", ["", "  ", "a\nb", "x" * 65])
def test_labels_are_short_and_printable(full: Catalogue, label: str) -> None:
    with pytest.raises(BadRequest):
        tags.put(full.database, "1.2.1.0", label, "me", ALL)


@pytest.mark.parametrize("sort", sorted(gallery.SORTS))
def test_the_gallery_shows_each_series_once_in_every_order(full: Catalogue, sort: str) -> None:
    with full.database.read() as db:
        shown = gallery.summaries(db, Query("SERIES"), ALL, sort)
        pages = [
            one
            for offset in range(0, 20, 4)
            for one in gallery.summaries(db, Query("SERIES", limit=4, offset=offset), ALL, sort)
        ]
    assert pages == shown
    assert len({one.uid for one in shown}) == len(shown) == full.numbers()[1]


def test_an_order_that_is_none_is_a_bad_request(full: Catalogue) -> None:
    with full.database.read() as db, pytest.raises(BadRequest):
        gallery.summaries(db, Query("SERIES"), ALL, "colour")


def test_a_series_that_is_not_there_is_not_found(full: Catalogue) -> None:
    with pytest.raises(NotFound):
        full.summary("1.2.3.4.5")


def test_hostile_text_is_only_text(full: Catalogue, tmp_path: Path) -> None:
    for text in ("'; DROP TABLE series; --", "%", "_", '"', "\\", "[a-z]*", "(", "\x00"):
        full.ask(Query("SERIES", text=text))
        for kind in ("exact", "wildcard", "text"):
            for keyword in ("PatientName", "ImageType", "SeriesNumber", "SliceThickness"):
                if kind == "wildcard" and keyword not in ("PatientName", "ImageType"):
                    continue
                if kind == "exact" and keyword == "SliceThickness":
                    continue  # numbers are checked where queries are read
                full.ask(Query("SERIES", (Match((keyword,), kind, (text,)),)))
    assert full.numbers()[0] == 8
