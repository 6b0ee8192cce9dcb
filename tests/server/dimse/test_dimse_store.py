"""C-STORE: what comes in is kept as it came, once, and said to be so only then."""

import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom.data
import pytest
from pydicom.uid import UID

from kahu.catalog.inbox import Inbox
from kahu.dicom.syntaxes import EXPLICIT_LE, IMPLICIT_LE
from kahu.errors import NotDicom, StorageFull
from kahu.testing import samples

CT = "1.2.840.10008.5.1.4.1.1.2"
REAL = Path(pydicom.data.__file__).parent

Door = Any
Dcmtk = Any


def test_every_real_object_is_kept_as_it_came(shared_door: Door) -> None:
    objects: dict[str, tuple[str, str, bytes]] = {}
    for path in sorted(path for path in REAL.rglob("*") if path.is_file()):
        try:
            sop_class, instance, syntax, data = shared_door.parts(path.read_bytes())
        except NotDicom:
            continue
        objects.setdefault(instance, (sop_class, syntax, data))
    kinds = sorted({(sop_class, syntax) for sop_class, syntax, _ in objects.values()})
    assert len(objects) > 100
    assert len({syntax for _, syntax in kinds}) > 8
    with shared_door.request(*((sop_class, [syntax]) for sop_class, syntax in kinds)) as ours:
        assert len(ours.contexts) == len(kinds)
        for instance, (sop_class, syntax, data) in objects.items():
            context = ours.context_for(sop_class, [syntax])
            assert shared_door.store(ours, instance, [data], context)["Status"] == 0, instance
    for instance, (_, _, data) in objects.items():
        assert shared_door.kept(instance) == data


def test_dcmtk_and_its_progress(shared_door: Door, dcmtk: Dcmtk, tmp_path: Path) -> None:
    for number in range(3):
        ds = samples.instance(number=number, seed="dcmtk")
        samples.save(ds, tmp_path / f"{number}.dcm")
    sent = dcmtk("dcmsend", "127.0.0.1", shared_door.port, "--scan-directories", tmp_path)
    assert sent.returncode == 0, sent.stderr
    again = dcmtk("storescu", "-v", "127.0.0.1", shared_door.port, *sorted(tmp_path.iterdir()))
    assert (
        again.stderr.count("Received Store Response (Success)")
        + again.stdout.count("Received Store Response (Success)")
        == 3
    )
    uids = {samples.instance(number=number, seed="dcmtk").SOPInstanceUID for number in range(3)}
    assert uids <= set(shared_door.instances())


def test_pynetdicom_sends_compressed(shared_door: Door) -> None:
    from pynetdicom import AE

    ds = samples.instance(transfer_syntax="1.2.840.10008.1.2.4.80", seed="pynetdicom")
    entity = AE()
    entity.add_requested_context(ds.SOPClassUID, ["1.2.840.10008.1.2.4.80"])
    caller = entity.associate("127.0.0.1", shared_door.port)
    assert caller.is_established
    assert caller.send_c_store(ds).Status == 0
    caller.release()
    assert ds.SOPInstanceUID in shared_door.instances()


def test_any_sop_class_in_any_transfer_syntax(door: Door) -> None:
    """Private ones, ones of the future, and a private transfer syntax: they are kept and given back."""
    ds = samples.instance(transfer_syntax=IMPLICIT_LE, attributes={"SOPClassUID": "1.2.3.4.5"})
    _, instance, _, data = door.parts(samples.encode(ds))
    with door.request(("1.2.3.4.5", ["1.2.840.113619.5.2"]), ("1.2.3.4.5", [IMPLICIT_LE])) as ours:
        assert len(ours.contexts) == 2
        assert door.store(ours, instance, [data], context=1)["Status"] == 0
    assert door.kept(instance) == data


def test_what_cannot_lose_anything_is_chosen(door: Door) -> None:
    jpeg, lossless = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70"
    offers = (
        [jpeg, lossless, EXPLICIT_LE],
        [jpeg, EXPLICIT_LE, lossless],
        [IMPLICIT_LE, EXPLICIT_LE],
        [jpeg],
    )
    with door.request(*((CT, offer) for offer in offers)) as ours:
        chosen = [context.transfer_syntax for context in ours.contexts.values()]
    assert chosen == [lossless, EXPLICIT_LE, EXPLICIT_LE, jpeg]


def test_the_same_again_is_one_object_and_another_is_refused(door: Door) -> None:
    ds = samples.instance()
    door.add(ds, ds)
    assert door.instances() == [ds.SOPInstanceUID]
    assert len(door.files()) == 1
    _, instance, syntax, before = door.parts(samples.encode(ds))
    ds.PatientName = "Another^One"
    _, _, _, data = door.parts(samples.encode(ds))
    with door.request((CT, [syntax])) as ours:
        said = door.store(ours, instance, [data])
    assert said["Status"] == 0x0111
    assert "Another" not in said["ErrorComment"]
    assert door.kept(instance) == before
    assert len(door.files()) == 2, "the other one is kept aside"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 0xC000),
        (b"GET / HTTP/1.1\r\n\r\n", 0xC000),
        (struct.pack("<HH2sH", 8, 0x16, b"UI", 26) + CT.encode() + b"\0", 0xC000),
    ],
    ids=["nothing", "no data set", "no object"],
)
def test_what_is_no_object_is_not_understood(door: Door, data: bytes, status: int) -> None:
    with door.request((CT, [EXPLICIT_LE])) as ours:
        assert door.store(ours, "1.2.3", [data])["Status"] == status
        ds = samples.instance()
        _, instance, _, good = door.parts(samples.encode(ds))
        assert door.store(ours, instance, [good])["Status"] == 0, "the association goes on"
    assert door.instances() == [instance]
    assert len(door.files()) == 1


def test_the_command_must_speak_of_the_object_that_comes(door: Door) -> None:
    ds = samples.instance()
    sop_class, instance, syntax, data = door.parts(samples.encode(ds))
    with door.request((CT, [syntax]), ("1.2.840.10008.5.1.4.1.1.4", [syntax])) as ours:
        assert door.store(ours, "1.2.3", [data])["Status"] == 0xA900
        assert door.store(ours, instance, [data], context=3)["Status"] == 0xA900
        other = door.store(ours, instance, [data], context=3, AffectedSOPClassUID=sop_class)
        assert other["Status"] == 0xA900
    assert door.instances() == []
    assert door.files() == []


def test_a_full_disk_is_said(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Inbox) -> None:
        raise StorageFull("the disk of Kahu's own store is full", "free some space")

    monkeypatch.setattr(Inbox, "open", full)
    _, instance, syntax, data = door.parts(samples.encode(samples.instance()))
    with door.request((CT, [syntax])) as ours:
        assert door.store(ours, instance, [data])["Status"] == 0xA700


def test_who_vanishes_leaves_nothing(door: Door) -> None:
    _, instance, syntax, data = door.parts(samples.encode(samples.instance(rows=512, columns=512)))

    def broken() -> Iterator[bytes]:
        yield data[:300_000]
        raise ConnectionError

    ours = door.request((CT, [syntax]))
    with pytest.raises(ConnectionError):
        door.store(ours, instance, broken())
    deadline = time.monotonic() + 20
    while door.files() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert door.files() == []
    assert door.instances() == []


def test_it_is_written_down(door: Door) -> None:
    ds = samples.instance()
    door.add(ds)
    door.kahu.audit.flush()
    (entry,) = door.kahu.audit.entries()
    assert (entry.who, entry.action) == ("TEST@127.0.0.1", "C-STORE")
    assert entry.what == f"studies/{ds.StudyInstanceUID}"
    log = (door.kahu.settings.home / "kahu.log").read_text()
    assert ds.PatientID not in log
    assert str(ds.PatientName) not in log


def test_meta_information_is_ours(door: Door) -> None:
    from pydicom import dcmread

    ds = samples.instance()
    door.add(ds)
    (file,) = (path for path in door.kahu.settings.owned.rglob("*.dcm"))
    meta = dcmread(file).file_meta
    assert meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert meta.TransferSyntaxUID == ds.file_meta.TransferSyntaxUID
    assert meta.SourceApplicationEntityTitle == "TEST"
    assert UID(meta.ImplementationClassUID).is_valid
