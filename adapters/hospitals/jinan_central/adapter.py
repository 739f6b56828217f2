"""Jinan central hospital: HL7 v2 prescriptions over MLLP, and reports as ORM^O01 the same way."""

from collections.abc import Mapping

from adapters.dialects import hl7v2
from adapters.hospitals.jinan_central import reports, translation
from adapters.mapping import CodeMap
from adapters.messages import Message, Reply, Verdict
from adapters.registry import HospitalManifest
from fhir_profiles import bundles
from infra.http import Request, Transport


class Adapter:
    """See `adapters.protocols.Hospital`."""

    SECRETS = ("sources",)
    """The networks its interface engine calls from, for `gateway.doors.mllp`: MLLP itself knows no password."""

    def __init__(self, manifest: HospitalManifest, transport: Transport, secrets: Mapping[str, str]) -> None:
        self.slug = manifest.slug
        self.ends = hl7v2.Ends.of(manifest)
        self._facts = manifest.facts
        self._transport = transport

    def to_fhir(self, raw: bytes, codes: CodeMap) -> Message:
        parsed = hl7v2.read(raw, self.ends)
        translated = translation.Translation(self.slug, self._facts, codes, parsed)
        if hl7v2.cancels(parsed):
            resource, spots = bundles.cancel(translated.cancel())
        else:
            resource, spots = bundles.bundle(translated.prescription())
        return Message(hl7v2.key(parsed), resource, bundles.locate(spots), tuple(translated.unmapped),
                       hl7v2.context(parsed), translated.findings())

    def answer(self, message: Message | None, verdict: Verdict) -> Reply:
        return hl7v2.acknowledge(self.ends, message, verdict)

    async def report(self, key: str, body: bytes) -> None:
        control, message = reports.report(self.ends, key, body)
        answer = await self._transport.send(Request("MLLP", "/", message, repeatable=True, operation="MLLP report"))
        hl7v2.taken(self.ends, self.slug, control, answer.body)
