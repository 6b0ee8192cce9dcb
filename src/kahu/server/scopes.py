"""What an asker may see, in the catalogue's words."""

from kahu.access import Grant
from kahu.catalog.scope import Scope


def scope_of(grant: Grant) -> Scope:
    """The part of the catalogue that a grant opens. Without the right to read, nothing at all."""
    if "read" not in grant.may:
        return Scope(series=frozenset())
    return Scope(series=grant.series)
