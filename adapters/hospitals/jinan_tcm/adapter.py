"""A hospital that pushes CDA documents by SOAP, offers others for poll, and takes reports by its own SOAP service.

Its service (`facts.exchange_path`, document/literal, SOAP 1.1): ListDocuments, FetchDocument, AcknowledgeDocument for the
poll; ReportStatus for reports. `Authorization: Bearer <report token>` on each.
"""

from collections.abc import Mapping, Sequence

from lxml import etree

from adapters.dialects import cda, cda_answers, cda_soap
from adapters.hospitals.jinan_tcm import translation
from adapters.mapping import CodeMap, Codes
from adapters.messages import Fetched, Message, Reply, Verdict
from adapters.registry import HospitalManifest
from adapters.xml import Element
from domain.errors import NeedsOperator, RxError
from fhir_profiles import bundles
from infra.http import Request, Transport


class Adapter:
    """See `adapters.protocols.Hospital` and `Polled`."""

    SECRETS = ("report_token",)
    SHOWS = ("token",)
    """Secrets by which its door knows it; the adapter has no use for them."""

    def __init__(self, manifest: HospitalManifest, transport: Transport, secrets: Mapping[str, str]) -> None:
        for name in ("exchange_path", "exchange_namespace", "piece_category"):
            if name not in manifest.facts:
                raise NeedsOperator(f"hospitals/{manifest.slug}/manifest.toml: facts.{name}: is missing; add it")
        self.slug = manifest.slug
        self._path = manifest.facts["exchange_path"]
        self._namespace = manifest.facts["exchange_namespace"]
        self._piece_category = manifest.facts["piece_category"]
        self._transport = transport
        self._headers = {"authorization": f"Bearer {secrets['report_token']}", "content-type": "text/xml; charset=utf-8"}

    def to_fhir(self, raw: bytes, codes: CodeMap) -> Message:
        received = cda.read(raw)
        theirs = Codes(codes)
        if isinstance(received, cda.Cancel):
            resource, spots = bundles.cancel(translation.cancel(received, self.slug))
            return Message(cda.usable_key(received.key), resource, bundles.locate(spots), findings=received.findings)
        draft = translation.prescription(received, self.slug, self._piece_category, theirs)
        resource, spots = bundles.bundle(draft)
        return Message(cda.usable_key(received.key), resource, cda.locate(received, spots), theirs.each_once(),
                       findings=tuple(received.findings))

    def answer(self, message: Message | None, verdict: Verdict) -> Reply:
        return cda_answers.answer(message, verdict)

    async def report(self, key: str, body: bytes) -> None:
        await self._ask("ReportStatus", translation.report(body, self._namespace))

    async def poll(self, limit: int) -> Sequence[Fetched]:
        listed = await self._ask("ListDocuments", self._element("ListDocuments", limit=str(limit)))
        fetched: list[Fetched] = []
        trouble: RxError | None = None
        for ref in [(element.text or "").strip() for element in listed.findall(f"{{{self._namespace}}}ref")][:limit]:
            try:
                answer = await self._ask("FetchDocument", self._element("FetchDocument", ref=ref))
            except RxError as error:
                # One that cannot be fetched must not hold up those behind it.
                trouble = error
                continue
            fetched.append(Fetched(ref, _document(answer.findtext(f"{{{self._namespace}}}document") or "")))
        if trouble and not fetched:
            raise trouble
        return fetched

    async def hand_back(self, ref: str, reply: Reply) -> None:
        await self._ask("AcknowledgeDocument", self._element("AcknowledgeDocument", etree.fromstring(reply.body), ref=ref))

    def _element(self, operation: str, *inner: Element, **texts: str) -> bytes:
        named = (cda_answers.element(self._namespace, name, text) for name, text in texts.items())
        return bytes(etree.tostring(cda_answers.element(self._namespace, operation, *named, *inner), encoding="utf-8"))

    async def _ask(self, operation: str, payload: bytes) -> Element:
        """One call of the hospital's service; all of them may be repeated."""
        answer = await self._transport.send(Request(
            "POST", self._path, cda_soap.envelope(payload), self._headers | {"soapaction": f'"{self._namespace}:{operation}"'},
            repeatable=True, operation=operation))
        if answer.status != 200:
            raise NeedsOperator(f"{self.slug}: HTTP {answer.status} to {operation}; check its address and version",
                                code=f"http_{answer.status}")
        return cda_soap.body(answer.body, self._namespace, f"{operation}Response")


def _document(text: str) -> bytes:
    """The bytes of a fetched document. What is no Base64 is passed on as it is: intake refuses it, and it is settled."""
    try:
        return cda_soap.decoded(text)
    except cda_soap.Fault:
        return text.encode()
