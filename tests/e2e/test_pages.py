"""Every page, as a browser shows it: in both languages, from a phone's width to a wall's, for those who see, listen or type."""

import itertools
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest
from playwright.sync_api import expect

from domain.chains import ChainWord
from domain.people import Grant, Role
from domain.shops import Act
from gateway.web.access import COOKIE
from infra.db import audits, mapping, notices
from infra.log import bind
from tasks import choosing, counter, people, sessions
from tasks.fulfilment.sealed import open_secrets
from tasks.patients import page_address
from tests.e2e.conftest import fill_in_code, served, sign_in
from tests.gateway.desk.test_review import TOLD, TOLD_OF_ITEM, WARNING, tell
from tests.support.city import HOSPITAL, OPERATOR_TOKEN, PHARMACIST_TOKEN, admit, bundle, make_city
from tests.support.fakes import FakeEndpoint
from tests.support.line import Line
from tests.support.people import enrolled
from tests.support.records import audited
from tests.support.shop import SHOP_TOKEN, SHOPKEEPER, SHOPS, with_shops

expect.set_options(timeout=30_000)  # A busy machine may take longer than the five seconds of the default.

RUN = "0b5c9d6e-1111-4222-8333-444455556666"
WIDTHS = (360, 768, 1280, 1920)
LANGUAGES = ("zh-CN", "en")
ADDRESSES = itertools.count(1)


@dataclass(frozen=True)
class Wanted:
    theirs: str
    name: str
    table: str = "drug"


@dataclass(frozen=True)
class Full:
    """A city in which every page has something to show."""

    url: str
    pages: dict[str, list[str]]
    """Token of whoever opens it, empty for a stranger -> addresses."""
    mine: str
    """A prescription that the pharmacist has claimed."""
    cookie: str
    """Of the administrator's sign-in, who has no token."""


ADMINISTRATOR = "administrator"


@pytest.fixture(scope="module")
def city(tmp_path_factory) -> Iterator[Full]:
    folder = tmp_path_factory.mktemp("full")
    endpoint = FakeEndpoint()
    line = Line(replace(make_city(folder), webhooks={"ankang": endpoint}))
    waiting, mine, other = admit(line.city, 3)
    with bind(run=RUN):
        for rx_id in (waiting, mine, other):
            line.hop(rx_id)
    settled, troubled = admit(line.city, 2)
    with line.city.db.transaction() as session:
        audited(session, mine, *audits.findings(session, mine), WARNING)
        mapping.park(session, HOSPITAL, "M0099", archive_key=line.city.archive.put(bundle(99)),
                     unmapped=[Wanted("W1", "二甲双胍片 0.5g"), Wanted("BIDX", "每天两次", "frequency")], at=line.city.now())
        mapping.accept(session, mapping.Mapped(hospital=HOSPITAL, table="drug", theirs="W2", name="二甲双胍", ours="D001",
                                               accepted_by="O001", accepted_at=line.city.now()))
        for kind, detail in ((notices.NoticeKind.FILE_PARKED, "untaken"), (notices.NoticeKind.MESSAGE_SHAPE, "new")):
            for subject in ("first", "second"):
                notices.note(session, kind=kind, partner=HOSPITAL, subject=subject, detail=detail, at=line.city.now())
        notices.close(session, 1, by="O001", at=line.city.now())
    shared, collecting = admit(line.city, 2)
    line.to_fulfilling(collecting)
    line.say(collecting, ChainWord.PREPARED)
    line.hop(shared)
    tell(line.city, mine, item=TOLD_OF_ITEM, **TOLD, patient={"allergy_words": ("青霉素",), "pregnancy_weeks": 9})
    line.to_settled(settled)
    endpoint.by_id[f"evt_{line.order(settled).id}_placed"] = 410
    line.deliver()
    shop = at_a_shop(line)
    choosing_patients = choosers(line)
    line.payer.silent = True
    line.hop(troubled)
    enrolled(line.city, "A001", Role.ADMINISTRATOR)
    people.add(line.city, "A001", "S001", "李春燕", [Grant(Role.SHOP, "ankang"), Grant(Role.HOTLINE)])
    with line.city.db.transaction() as session:
        cookie = sessions.begin(line.city, session, "A001", method="password")
    with served(with_shops(line.city, alone=False), folder, shops=SHOPS) as url:
        story = [f"/rx/{settled}", f"/rx/{troubled}", f"/rx/{waiting}", f"/rx/{shop[4]}"]
        yield Full(url, {
            "": ["/sign-in", *(page_address(line.city, rx_id) for rx_id in (
                collecting, settled, shared, shop[4], *choosing_patients)),
                 "/p/nothing"],
            OPERATOR_TOKEN: ["/", "/rx", "/rx?status=settled", "/rx?q=none", *story, f"/runs/{RUN}", "/review", f"/review/{mine}",
                             "/mapping", "/rx/rx_unknown", "/webhooks", "/webhooks?waiting=true"],
            PHARMACIST_TOKEN: ["/review", f"/review?done={settled}", f"/review/{mine}", f"/review/{waiting}", f"/rx/{mine}"],
            SHOP_TOKEN: ["/inbox", *(f"/inbox/{rx_id}/1" for rx_id in shop), "/inbox/stock", "/inbox/stock?done=shelf",
                         "/inbox/day", "/inbox/parcels", *(f"/inbox/{shop[1]}/1/{page}" for page in ("label", "slip")),
                         f"/inbox/{shop[4]}/1/slip"],
            ADMINISTRATOR: ["/people", "/people/A001", "/people/S001", "/partner-tokens", "/access-log", "/access-log/verified",
                            "/account", "/enrol"],
        }, mine, cookie)


def choosers(line: Line) -> list[str]:
    """Patients who choose: among pharmacies with all of it, anew, among parts, another product, and one who is yet to be asked."""
    asked = admit(line.city, 5, sample="home_delivery")
    for rx_id in asked:
        line.hop(rx_id)
        choosing.wish_to_choose(line.city, rx_id, by="patient")
    whole, dearer, short, other, _ = asked
    line.review(whole)
    line.review(dearer)
    for rx_id in (whole, dearer):
        line.hop(rx_id)
    choosing.choose(line.city, dearer, "1-1", by="patient")
    line.chain("ankang").prices = {"D032": Decimal("0.35")}
    line.hop(dearer)
    for slug, drug in (("ankang", "D048"), ("baicao", "D032")):
        line.chain(slug).stock = {drug: Decimal(0)}
    line.review(short)
    line.hop(short)
    line.chain("ankang").stock, line.chain("ankang").instead = {"D032": Decimal(0)}, {"D032": "D032B"}
    line.review(other)
    line.hop(other)
    for slug in ("ankang", "baicao"):
        line.chain(slug).stock, line.chain(slug).prices, line.chain(slug).instead = {}, {}, {}
    return asked


def at_a_shop(line: Line) -> list[str]:
    """Orders of a shop that works from our pages: new, with the courier, to be prepared, to be fetched, fetched, and declined."""
    shop = Line(with_shops(line.city))
    samples = ("long_term", "home_delivery", "long_term", "long_term", "long_term", "long_term")
    orders = [rx_id for sample in samples for rx_id in admit(shop.city, sample=sample)]
    acts = ([], [Act.ACCEPT, Act.PREPARE, Act.SEND_OUT], [Act.ACCEPT], [Act.ACCEPT, Act.PREPARE],
            [Act.ACCEPT, Act.PREPARE, Act.HAND_OVER], [Act.DECLINE])
    for rx_id, done in zip(orders, acts, strict=True):
        code = open_secrets(shop.city, shop.to_fulfilling(rx_id))["pickup_code"]
        for act in done:
            counter.act_on(shop.city, SHOPKEEPER, rx_id, 1, act, proof=code if act is Act.HAND_OVER else "", method="cash",
                           reason="out_of_stock" if act is Act.DECLINE else "")
    shop.hop(orders[4])
    shop.deliver()
    return orders


@pytest.fixture
def opened(city, browser):
    """Opens a page as somebody, in a language, on a screen of some width."""
    contexts = []

    def open_page(token: str, language: str, width: int, scheme: str = "light"):
        # Each from an address of its own: wrong codes and links of one test are no guesses of the next one's address.
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, locale=language, color_scheme=scheme,
                                            extra_http_headers={"X-Forwarded-For": f"192.0.2.{next(ADDRESSES)}"}))
        page = contexts[-1].new_page()
        if token == ADMINISTRATOR:
            contexts[-1].add_cookies([{"name": COOKIE, "value": city.cookie, "url": city.url}])
        elif token:
            sign_in(page, city.url, token)
        if token == PHARMACIST_TOKEN:
            page.goto(f"{city.url}/review/{city.mine}")
            if claim := page.locator("form[action$='/claim'] button").all():
                claim[0].click()
                page.wait_for_selector("form#decision")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def refused(city):
    """Puts a page in the state of a form that was refused."""

    def refuse(page, token: str) -> None:
        if not token:
            fill_in_code(page, city.url, "wrong")
        elif token == SHOP_TOKEN:
            page.goto(f"{city.url}{city.pages[token][4]}")
            page.fill("#proof", "WRONG")
            page.locator("input[name='method'][value='wechat']").check()
            page.locator("form[action$='/hand_over'] button").click()
        elif token == ADMINISTRATOR:
            page.goto(f"{city.url}/people")
            page.fill("#id", "13912345678")
            page.check("input[value=shop]")
            page.locator("main form button").last.click()
            page.wait_for_selector("[role=alert]")
            return
        else:
            page.goto(f"{city.url}/review/{city.mine}")
            page.check("#return")
            page.locator("form#decision button").click()
        page.wait_for_selector(".error")

    return refuse


@pytest.mark.parametrize(("language", "width", "scheme", "rules"), [
    ("zh-CN", 390, "light", {}), ("zh-CN", 1280, "light", {}), ("en", 390, "light", {}), ("en", 1280, "light", {}),
    ("zh-CN", 1280, "dark", {"runOnly": ["color-contrast", "link-in-text-block"]})])
def test_axe_finds_nothing(city, opened, refused, language, width, scheme, rules):
    from axe_playwright_python.sync_playwright import Axe

    axe, findings = Axe(), {}

    def judge(page, address: str) -> None:
        for violation in axe.run(page, options={"resultTypes": ["violations"], **rules}).response["violations"]:
            findings[f"{address}: {violation['id']}"] = [node["html"][:200] for node in violation["nodes"]][:3]

    for token, addresses in city.pages.items():
        page = opened(token, language, width, scheme)
        for address in addresses:
            page.goto(city.url + address)
            judge(page, address)
        if token != OPERATOR_TOKEN:
            refused(page, token)
            judge(page, f"{address}, refused")
    assert findings == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_page_is_wider_than_its_window(city, opened, language):
    wide = []
    for token, addresses in city.pages.items():
        page = opened(token, language, WIDTHS[0])
        for address in addresses:
            page.goto(city.url + address)
            assert page.evaluate("document.documentElement.lang") == language
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 900})
                if page.evaluate("document.documentElement.scrollWidth") > width:
                    wide.append((address, width))
    assert wide == []


def test_the_language_is_switched_on_the_page_one_is_on_and_stays(city, opened):
    page = opened(OPERATOR_TOKEN, "zh-CN", 1280)
    page.goto(f"{city.url}/rx?status=settled")
    page.get_by_role("link", name="English").click()
    expect(page).to_have_url(f"{city.url}/rx?status=settled&lang=en")
    expect(page).to_have_title(re.compile("Prescriptions"))
    page.goto(f"{city.url}/")
    expect(page).to_have_title(re.compile("Board"))
    page.get_by_role("link", name="中文").click()
    expect(page).to_have_title(re.compile("看板"))


def test_a_form_that_was_refused_is_read_in_the_other_language_on_its_page(city, opened, refused):
    page = opened(PHARMACIST_TOKEN, "zh-CN", 1280)
    refused(page, PHARMACIST_TOKEN)
    page.get_by_role("link", name="English").click()
    expect(page).to_have_url(f"{city.url}/review/{city.mine}")
    expect(page).to_have_title(re.compile("^Review"))


def test_whoever_types_may_skip_to_the_content_and_sees_where_they_are(city, opened):
    page = opened(OPERATOR_TOKEN, "en", 1280)
    page.goto(f"{city.url}/rx")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    assert page.evaluate("getComputedStyle(document.activeElement).clipPath") == "none"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "q"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"
    page.keyboard.type("none")
    page.keyboard.press("Enter")
    page.wait_for_url("**/rx?q=none")


def test_nothing_keeps_the_keyboard(city, opened):
    for token, address in ((OPERATOR_TOKEN, "/"), (OPERATOR_TOKEN, "/mapping"), (PHARMACIST_TOKEN, f"/review/{city.mine}")):
        page = opened(token, "en", 1280)
        page.goto(city.url + address)
        page.evaluate("""() => {
            window.left = new Set([...document.querySelectorAll('a[href], button:not([hidden]), textarea')].filter(
                element => element.checkVisibility()));
            document.addEventListener('focusin', event => window.left.delete(event.target)); }""")
        for _ in range(200):
            page.keyboard.press("Tab")
        assert page.evaluate("[...window.left].map(element => element.outerHTML)") == [], address


def test_a_board_is_kept_fresh_unless_it_is_paused_or_somebody_works_in_it(city, opened):
    page = opened(OPERATOR_TOKEN, "en", 1280)
    page.clock.install()
    page.goto(f"{city.url}/")

    def refreshed_by(act) -> bool:
        page.evaluate("document.querySelector('main h1').textContent = 'old'")
        act()
        page.clock.run_for(31_000)
        # The page's own clock stands still: Playwright's waits would wait for it.
        return any(page.locator("main h1").text_content() != "old" or time.sleep(0.05) for _ in range(20))

    button = page.locator("#live")
    assert refreshed_by(lambda: None)
    assert not refreshed_by(lambda: page.locator("main a").first.focus())
    assert refreshed_by(lambda: page.locator("main").focus())
    assert not refreshed_by(button.click)
    assert button.get_attribute("aria-pressed") == "false"
    assert refreshed_by(button.click)
