"""Everything this hospital shares with others is in the dialect; what is its own is in `translation`."""

from adapters.dialects import erx
from adapters.hospitals.jinan_second import translation


class Adapter(erx.Adapter):
    """See `adapters.protocols.Hospital`."""

    translation = translation
