"""What an instance can be given in, told from its header."""

from kahu.catalog import fetch
from kahu.catalog.fetch import Located
from kahu.db import Database
from kahu.dicom import transcode
from kahu.dicom.facts import PixelFacts
from kahu.errors import BrokenDicom


def can_give(database: Database, located: Located) -> tuple[str, ...]:
    """The transfer syntaxes that an instance can be given in. Blocks: its header is read."""
    syntax, pixels = located.location.transfer_syntax, located.location.pixels
    if pixels is None:
        return transcode.can_give(syntax, None)
    with database.read() as db:
        header = fetch.outline(db, located)
    try:
        return transcode.can_give(syntax, PixelFacts.of(header).held_in(pixels))
    except BrokenDicom:
        return (syntax,)  # an image that makes no sense
