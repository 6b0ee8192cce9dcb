"""How built files are stored: as gzip only, where that pays. Every browser takes it."""

import gzip
from pathlib import Path

COMPRESSED = {".js", ".css", ".wasm", ".svg"}


def write(path: Path, content: bytes) -> None:
    """Writes a file, or its gzip under that name and ``.gz``; the same bytes every time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in COMPRESSED:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(content, 9, mtime=0))
    else:
        path.write_bytes(content)


def pack(folder: Path) -> None:
    """Stores every file below a folder in that way."""
    for path in [path for path in folder.rglob("*") if path.is_file() and path.suffix in COMPRESSED]:
        write(path, path.read_bytes())
        path.unlink()
