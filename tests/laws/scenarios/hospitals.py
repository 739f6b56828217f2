"""What a hospital may send, and what may be wrong with its line and its software."""

from collections.abc import Sequence
from dataclasses import replace

from adapters.mapping import CodeMap
from adapters.messages import Fetched, Message, Parked, Reply, Unmapped
from domain.chains import ChainWord
from domain.errors import Transient
from tests.laws.world import World
from tests.support.city import FakeHospital


def the_hospital_is_down(city: World) -> None:
    city.hospital.trouble = Transient("down")
    city.to_review()
    city.hospital.trouble = None
    city.later(minutes=1)
    city.work()


def everything_is_said_twice(city: World) -> None:
    city.prescribe()
    assert city.prescribe().status_code == 201
    assert city.prescribe("child").status_code == 409, "the same key and other bytes"
    assert city.prescribe(key="M-again").status_code == 409, "the same prescription under another key"
    city.work()
    city.decide()
    city.decide_again()
    city.work()
    word = city.say(ChainWord.HANDED_OVER)
    assert b"repeated" in city.call_back("ankang", word).content
    city.work()


def checked_beforehand(city: World) -> None:
    city.ask_beforehand()
    city.prescribe()
    city.work()


def a_code_nobody_had_mapped(city: World) -> None:
    city.hospital = Stranger()
    city.restart()
    city.prescribe()
    city.map_code("drug", "D001", "D001")
    city.work()


class Stranger(FakeHospital):
    """Its code for D001 looks like ours, and nobody has said yet that it is."""

    def to_fhir(self, raw: bytes, codes: CodeMap) -> Message:
        known = "D001" in codes.tables.get("drug", {})
        return replace(super().to_fhir(raw, codes), unmapped=() if known else (Unmapped("drug", "D001"),))


def a_new_version_of_the_hospitals_software(city: World) -> None:
    city.prescribe()
    city.later(seconds=1)
    city.cancel()
    city.compare_shapes()
    city.work()


def a_file_nobody_can_take(city: World) -> None:
    city.hospital = WithABox()
    city.restart()
    city.poll()
    city.prescribe()
    city.work()


class WithABox(FakeHospital):
    """Nothing lies in it for us but what nobody could take."""

    async def poll(self, limit: int) -> Sequence[Fetched]:
        return ()

    async def hand_back(self, ref: str, reply: Reply) -> None:
        raise AssertionError("nothing was taken from it")

    async def parked(self) -> Sequence[Parked]:
        return [Parked("0123abcd", "broke")]


HOSPITALS = (
    the_hospital_is_down,
    everything_is_said_twice,
    checked_beforehand,
    a_code_nobody_had_mapped,
    a_new_version_of_the_hospitals_software,
    a_file_nobody_can_take,
)
