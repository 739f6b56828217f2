"""HTTP on this machine, in plain text: no client reads the certificates of the world, which takes longer than all it asks."""

import ssl
from typing import Final

NO_CERTIFICATES: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For `verify` of an httpx client; an address with https is refused by it."""
