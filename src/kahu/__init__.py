"""Kahu: one catalogue of medical images wherever they live; DICOM in, DICOM out."""

from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kahu.client import Client

__all__ = ["Client", "__version__"]

__version__: str = _version("kahu")


def __getattr__(name: str) -> Any:
    if name == "Client":  # loaded when asked for: the server does not need it
        from kahu.client import Client

        return Client
    raise AttributeError(name)
