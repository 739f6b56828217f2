"""A hospital that hands over files: the box does the work, the manifest says which column is what."""

from collections.abc import Mapping, Sequence

from adapters.dialects import dropbox
from adapters.dialects.dropbox_box import Box
from adapters.hospitals.jinan_county.translation import TRANSLATION, layout
from adapters.mapping import CodeMap
from adapters.messages import Fetched, Message, Parked, Reply, Verdict
from adapters.registry import HospitalManifest
from infra.http import Transport


class Adapter:
    """See `adapters.protocols.Hospital` and `Boxed`."""

    SECRETS = ()

    def __init__(self, manifest: HospitalManifest, transport: Transport, secrets: Mapping[str, str]) -> None:
        self.slug = manifest.slug
        self._layout = layout(manifest)
        self._box = Box(manifest, transport, secrets, self._layout)

    def to_fhir(self, raw: bytes, codes: CodeMap) -> Message:
        return dropbox.to_fhir(raw, codes, self._layout, TRANSLATION)

    def answer(self, message: Message | None, verdict: Verdict) -> Reply:
        return dropbox.answer(message, verdict)

    async def report(self, key: str, body: bytes) -> None:
        await self._box.report(key, body)

    async def poll(self, limit: int) -> Sequence[Fetched]:
        return await self._box.poll(limit)

    async def parked(self) -> Sequence[Parked]:
        return await self._box.parked()

    async def hand_back(self, ref: str, reply: Reply) -> None:
        await self._box.hand_back(ref, reply)
