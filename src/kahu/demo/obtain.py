"""Which images `kahu demo` shows, and what it says of them."""

from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from kahu.demo import DemoImages
from kahu.demo.commons import COMMONS, Commons, NotToBeHad
from kahu.demo.shipped import SHIPPED
from kahu.home import cannot_write


def obtain(
    home: Path, console: Console, commons: Commons = COMMONS, shipped: DemoImages = SHIPPED
) -> DemoImages:
    """The Commons' images, downloaded unless they are here; where they cannot be had, those that Kahu brings.

    StorageFull, or another KahuError, when the home cannot be written.
    """

    def say(words: str) -> None:
        console.print(words, markup=False)

    images = commons.images(home)
    if images.folder.is_dir():
        say(f"Images: {images.source} ({images.licence}), in {images.folder}")
        return images
    say(f"Images: {decimal(commons.size)} from the {images.source} ({images.licence})")
    columns = (TextColumn("  "), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("", total=commons.size)
            commons.download(home, lambda size: bar.advance(task, size))
    except NotToBeHad as reason:
        say(f"   It {reason}. Kahu brings images of its own, so the demo goes on with these:")
        say(f"Images: {shipped.source} ({shipped.licence}); they came with Kahu: nothing to download")
        return shipped
    except OSError as error:
        raise cannot_write(home, error) from error
    return images
