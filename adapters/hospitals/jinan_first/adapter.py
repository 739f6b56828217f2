"""A hospital that pushes FHIR R4: nothing to translate on the way in, and a door to knock at with reports in FHIR."""

from collections.abc import Mapping

from adapters.dialects import fhir_r4
from adapters.mapping import CodeMap
from adapters.messages import Message, Reply, Verdict
from adapters.registry import HospitalManifest
from domain.errors import NeedsOperator
from infra.http import Request, Transport


class Adapter:
    """See `adapters.protocols.Hospital`."""

    SECRETS = ("report_token",)
    SHOWS = ("token",)
    """Secrets by which its door knows it; the adapter has no use for them."""

    def __init__(self, manifest: HospitalManifest, transport: Transport, secrets: Mapping[str, str]) -> None:
        if "report_path" not in manifest.facts:
            raise NeedsOperator(f"hospitals/{manifest.slug}/manifest.toml: facts.report_path: is missing; add it")
        self.slug = manifest.slug
        self._path = manifest.facts["report_path"]
        self._transport = transport
        self._headers = {"authorization": f"Bearer {secrets['report_token']}", "content-type": fhir_r4.JSON_MEDIA}

    def to_fhir(self, raw: bytes, codes: CodeMap) -> Message:
        return fhir_r4.to_fhir(raw, codes)

    def answer(self, message: Message | None, verdict: Verdict) -> Reply:
        return fhir_r4.answer(message, verdict)

    async def report(self, key: str, body: bytes) -> None:
        content = fhir_r4.report(self.slug, body)
        answer = await self._transport.send(
            Request("POST", self._path, content, self._headers | {"sanyi-key": key}, repeatable=True))
        if not 200 <= answer.status < 300:
            raise NeedsOperator(f"{self.slug}: HTTP {answer.status} to report {key}; check its address and version",
                                code=f"http_{answer.status}")
