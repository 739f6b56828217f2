"""Documents over SOAP: fetched, handed back, and calls of our service."""

import asyncio
import base64
from dataclasses import replace

import pytest
from lxml import etree

from adapters.dialects import cda, cda_answers, cda_soap
from adapters.messages import Outcome, Reply, Verdict
from domain.errors import Transient
from domain.findings import Spot
from infra.http import Request, Response
from tests.support.cda_documents import AT, OWN, SLUG, adapter, checked, sample, soap


class Offering:
    """A hospital that offers documents until they are acknowledged."""

    def __init__(self, **documents: str) -> None:
        self.documents = documents
        self.acknowledged: dict[str, bytes] = {}
        self.trouble: set[str] = set()

    async def send(self, request: Request) -> Response:
        await asyncio.sleep(0)
        call = etree.fromstring(request.body).find("{*}Body")[0]
        name = etree.QName(call).localname
        ref = call.findtext(f"{{{OWN}}}ref") or ""
        if ref in self.trouble:
            raise Transient("away")
        if name == "ListDocuments":
            return Response(200, soap(f"{name}Response", "".join(f"<ref>{one}</ref>" for one in self.documents)))
        if name == "FetchDocument":
            return Response(200, soap(f"{name}Response", f"<document>{self.documents[ref]}</document>"))
        self.documents.pop(ref, None)
        self.acknowledged[ref] = etree.tostring(call.find("{*}result"))
        return Response(200, soap(f"{name}Response"))


def offered(name: str) -> str:
    return base64.b64encode(sample(name)).decode()


async def test_documents_are_fetched_as_they_are_and_stay_until_they_are_settled() -> None:
    line = Offering(a=offered("western.xml"), b=offered("gb18030.xml"))
    hospital = adapter(line)

    first, again = await hospital.poll(10), await hospital.poll(10)
    assert [(one.ref, one.raw) for one in first] == [("a", sample("western.xml")), ("b", sample("gb18030.xml"))] == [
        (one.ref, one.raw) for one in again]
    assert [one.ref for one in await hospital.poll(1)] == ["a"]

    reply = hospital.answer(None, Verdict(Outcome.ACCEPTED, AT, SLUG, "rx_1", "RX0001", "received"))
    await hospital.hand_back("a", reply)
    await hospital.hand_back("a", reply)
    assert [one.ref for one in await hospital.poll(10)] == ["b"]
    assert etree.fromstring(line.acknowledged["a"]).findtext("{*}prescriptionId") == "rx_1"


async def test_a_document_that_cannot_be_fetched_does_not_hold_up_the_others() -> None:
    line = Offering(a=offered("western.xml"), b=offered("patent.xml"))
    line.trouble = {"a"}
    assert [one.ref for one in await adapter(line).poll(10)] == ["b"]

    line.trouble = {"a", "b"}
    with pytest.raises(Transient):
        await adapter(line).poll(10)


async def test_a_document_that_is_no_base64_reaches_intake_and_is_refused_there() -> None:
    fetched = await adapter(Offering(a="§§§")).poll(10)

    assert checked(fetched[0].raw)[0] is None


async def test_settling_says_what_was_answered() -> None:
    line = Offering(a="")
    await adapter(line).hand_back("a", Reply(cda_answers.result(Outcome.REFUSED, AT, findings=[replace(
        cda.RULES[0].finding("x"), spot=Spot("/a", 3, 4))])))

    assert etree.fromstring(line.acknowledged["a"]).findtext("{*}finding/{*}line") == "3"


# SOAP.

@pytest.mark.parametrize(("raw", "code"), [
    (b"", "Client"), (b"hello", "Client"), (b"<a/>", "Client"), (cda_soap.envelope(b""), "Client"),
    (cda_soap.envelope(b'<a xmlns="urn:x"/>'), "Client"), (cda_soap.envelope(b"<SubmitPrescription/>"), "Client"),
    (cda_soap.envelope(f'<SubmitPrescription xmlns="{cda.SERVICE}"><document>*</document></SubmitPrescription>'.encode()),
     "Client"),
    (cda_soap.envelope(b"<x/>").replace(cda_soap.SOAP.encode(), b"http://www.w3.org/2003/05/soap-envelope"), "VersionMismatch"),
    (cda_soap.envelope(b"<x/>").replace(b"<soap:Body>", b'<soap:Header><w soap:mustUnderstand="1"/></soap:Header><soap:Body>'),
     "MustUnderstand"),
    (b'<!DOCTYPE a [<!ENTITY b "b">]>' + cda_soap.envelope(b"<x/>"), "Client"),
])
def test_what_is_no_call_is_a_fault(raw: bytes, code: str) -> None:
    with pytest.raises(cda_soap.Fault) as caught:
        cda_soap.call(raw)
    assert caught.value.code == code
    fault = etree.fromstring(cda_soap.fault(code, caught.value.words)).find("{*}Body/{*}Fault")
    assert fault is not None
    assert fault.findtext("faultcode") == f"soap:{code}"


def test_a_document_arrives_byte_for_byte() -> None:
    text = base64.encodebytes(sample("gb18030.xml")).decode()
    call = cda_soap.call(cda_soap.envelope(
        f'<s:SubmitPrescription xmlns:s="{cda.SERVICE}"><s:document>{text}</s:document></s:SubmitPrescription>'.encode()))

    assert (call.operation, call.raw) == ("SubmitPrescription", sample("gb18030.xml"))


def test_a_cancel_is_the_same_bytes_in_whatever_envelope_it_comes() -> None:
    call = cda_soap.call(sample("cancel.xml"))
    again = sample("cancel.xml").replace(b"<soapenv:Header/>", b'<soapenv:Header><id xmlns="urn:x">2</id></soapenv:Header>')
    other = cda_soap.call(again.replace(b"soapenv:", b"e:").replace(b"xmlns:soapenv", b'xmlns:a="urn:a" xmlns:e'))
    message, findings = checked(call.raw)

    assert (call.operation, call.number) == ("CancelPrescription", "RX0001")
    assert call.raw == other.raw
    assert message
    assert message.key == "CX0001"
    assert not findings
    assert b"soapenv" not in call.raw
    assert cda_soap.call(sample("cancel.xml").replace(b"prescriber", b"patient")).raw != call.raw
