"""A patient chooses the pharmacy in a real browser: on a phone and at a desk, by keyboard alone, and without a script."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest

from domain.fulfilment.choice import Round, RoundState
from domain.lifecycle import Status
from domain.policy import Choosers
from domain.prescription import Handover
from infra.db import choices
from tasks.city import City
from tasks.patients import page_address
from tests.e2e.conftest import served
from tests.support.city import admit, make_city
from tests.support.line import Line


@dataclass
class Asking:
    """A city whose patients are asked, behind a gateway."""

    line: Line
    url: str = ""
    asked: list[str] = field(default_factory=list)
    """Each chooses among two pharmacies that have all of it."""
    short: str = ""
    """No pharmacy has all of it."""
    early: str = ""
    """In review."""

    def address(self, rx_id: str, language: str = "zh") -> str:
        return f"{self.url}{page_address(self.line.city, rx_id)}?lang={language}"

    def round(self, rx_id: str) -> Round:
        with self.line.city.db.reading() as session:
            newest = choices.newest(session, rx_id)
        assert newest is not None
        return newest

    def hop(self, rx_id: str) -> None:
        """In a thread: the browser keeps a loop running in this one."""
        with ThreadPoolExecutor(1) as pool:
            pool.submit(self.line.hop, rx_id).result()

    def to_the_choice(self) -> str:
        (rx_id,) = admit(self.line.city, sample="home_delivery")
        self.line.hop(rx_id)
        self.line.review(rx_id)
        self.line.hop(rx_id)
        return rx_id


def who_asks(city: City) -> City:
    return replace(city, policy=replace(city.policy, choosers=Choosers.WHO_ASKS))


@pytest.fixture(scope="module")
def asking(tmp_path_factory) -> Iterator[Asking]:
    folder = tmp_path_factory.mktemp("choice")
    made = make_city(folder)
    city = Asking(Line(replace(made, policy=replace(made.policy, choosers=Choosers.EVERYBODY))))
    (city.early,) = admit(city.line.city)
    city.line.hop(city.early)
    city.asked = [city.to_the_choice() for _ in range(4)]
    for slug, drug in (("ankang", "D048"), ("baicao", "D032")):
        city.line.chain(slug).stock = {drug: Decimal(0)}
    city.short = city.to_the_choice()
    for slug in ("ankang", "baicao"):
        city.line.chain(slug).stock = {}
    with served(city.line.city, folder) as city.url:
        yield city


@pytest.fixture
def opened(asking, browser):
    """Opens a patient's page on a screen of some width, with or without scripts."""
    contexts = []

    def open_page(rx_id: str, width: int = 390, language: str = "zh", *, scripts: bool = True):
        contexts.append(browser.new_context(viewport={"width": width, "height": 844}, java_script_enabled=scripts))
        page = contexts[-1].new_page()
        page.goto(asking.address(rx_id, language))
        return page

    yield open_page
    for context in contexts:
        context.close()


def test_nothing_is_ticked_and_the_best_score_is_first(asking, opened):
    page = opened(asking.asked[0])
    assert page.locator("input[name=option]").count() == 4
    assert page.locator("input[name=option]:checked").count() == 0
    scores = [option.score for option in asking.round(asking.asked[0]).offering.options]
    assert scores == sorted(scores, reverse=True)
    assert "没有预先选中" in page.locator("#choice").text_content()


def test_a_pharmacy_is_chosen_by_keyboard_alone_and_the_page_follows(asking, opened):
    rx_id = asking.asked[0]
    page = opened(rx_id)

    def tab_to(what: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("what => document.activeElement.matches(what)", what):
                return
        raise AssertionError(f"{what} cannot be reached")

    tab_to("input[name=option]")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    tab_to("#choice form button")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=已收到您的选择")
    newest = asking.round(rx_id)
    assert newest.state is RoundState.CHOSEN
    assert newest.chosen in {option.key for option in newest.offering.options}
    asking.hop(rx_id)
    assert asking.line.status(rx_id) is Status.FULFILLING
    page.reload()
    assert "在哪里取药" not in page.inner_text("body")


def test_without_a_script_it_is_chosen_all_the_same(asking, opened):
    rx_id = asking.asked[1]
    page = opened(rx_id, language="en", scripts=False)
    wanted = next(option for option in asking.round(rx_id).offering.options
                  if option.shares[0].chain == "baicao" and option.handover is Handover.PICKUP)
    page.locator(f"input[value='{wanted.key}']").check()
    page.locator("#choice form button").click()
    page.wait_for_selector("text=Your choice is taken")
    assert asking.round(rx_id).chosen == wanted.key


def test_a_form_that_was_left_open_while_the_offers_changed_is_answered_with_a_reason(asking, opened):
    rx_id = asking.asked[2]
    page, other = opened(rx_id), opened(rx_id)
    for each in (page, other):
        assert each.locator("input[name=option]").count() == 4
    page.locator("input[name=option]").nth(2).check()
    page.locator("#choice form button").click()
    page.wait_for_selector("text=已收到您的选择")
    asking.line.chain("baicao").prices = asking.line.chain("ankang").prices = {"D032": Decimal("0.35")}
    asking.hop(rx_id)
    other.locator("input[name=option]").nth(0).check()
    other.locator("#choice form button").click()
    other.wait_for_selector("text=方案已更新")
    assert "涨价了" in other.inner_text("#choice")
    assert "还没有下单" in other.inner_text("#choice")
    asking.line.chain("baicao").prices, asking.line.chain("ankang").prices = {}, {}


def test_two_parcels_a_part_and_waiting_are_there_where_no_pharmacy_has_all_of_it(asking, opened):
    page = opened(asking.short, language="en")
    text = page.inner_text("#choice")
    for words in ("shared by two pharmacies", "a part now, the rest later", "The rest follows", "Wait until one has all of it"):
        assert words in text
    page.locator("input[value$='-wait']").check()
    page.locator("#choice form button").click()
    page.wait_for_selector("#choice >> text=You chose to wait")


def test_a_patient_says_that_they_want_to_choose(asking, opened):
    object.__setattr__(asking.line.city, "policy", who_asks(asking.line.city).policy)
    try:
        page = opened(asking.early)
        page.locator("form[action$='/wish_to_choose'] button").click()
        page.wait_for_selector("text=已记下")
    finally:
        object.__setattr__(asking.line.city, "policy", replace(asking.line.city.policy, choosers=Choosers.EVERYBODY))


@pytest.mark.parametrize("width", [360, 390, 768, 1440])
@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_choice_is_no_wider_than_its_window_and_what_is_pressed_is_large_enough(asking, opened, width, language):
    page = opened(asking.asked[3], width, language)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for box in [pick.bounding_box() for pick in page.locator(".pick").all()]:
        assert box["height"] >= 44
        assert box["width"] >= 150
