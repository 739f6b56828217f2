"""A pharmacist and an operator in a real browser, on a real gateway on a real socket."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from domain.lifecycle import Status
from domain.people import Grant, Role
from infra.db.rows import PrescriptionRow
from tasks import people
from tests.e2e.conftest import fill_in_code, served, sign_in
from tests.gateway.desk.test_review import TOLD, TOLD_OF_ITEM, tell
from tests.support.city import OPERATOR_TOKEN, PHARMACIST_TOKEN, admit, make_city
from tests.support.line import Line
from tests.support.people import enrolled


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Iterator[tuple[Line, str]]:
    """A city with one prescription in review and one settled, behind a gateway."""
    folder = tmp_path_factory.mktemp("desk")
    line = Line(make_city(folder))
    waiting, _ = admit(line.city, 2)
    line.hop(waiting)
    line.to_settled(admit(line.city)[0])
    for _ in range(2):
        line.hop(admit(line.city)[0])
    with served(line.city, folder) as url:
        yield line, url


@pytest.fixture
def page(desk, browser):
    _, url = desk
    outside: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="zh-CN")
    one = context.new_page()
    one.on("request", lambda request: None if request.url.startswith((url, "data:")) else outside.append(request.url))
    yield one
    assert outside == [], "a page called an outside host"
    context.close()


def in_review(line: Line) -> list[str]:
    """The newest first."""
    with line.city.db.reading() as session:
        return list(session.scalars(sa.select(PrescriptionRow.id).where(PrescriptionRow.status == Status.IN_REVIEW)
                                    .order_by(PrescriptionRow.external_id.desc())))


def test_a_pharmacist_claims_and_passes_a_prescription(desk, page):
    line, url = desk
    fill_in_code(page, url, PHARMACIST_TOKEN)
    page.goto(f"{url}/review")
    claim = page.locator("form[action^='/review/rx_'] button").first
    rx_id = page.locator("form[action^='/review/rx_']").first.get_attribute("action").split("/")[2]
    claim.click()
    page.check("#pass")
    page.locator("form#decision button").click()
    page.wait_for_url("**/review?done=*")
    assert line.status(rx_id) is Status.REVIEWED


def test_an_operator_sees_why_a_prescription_is_where_it_is(page, desk):
    _, url = desk
    sign_in(page, url, OPERATOR_TOKEN)
    page.goto(f"{url}/rx?status=settled")
    page.locator("a[href^='/rx/rx_']").first.click()
    page.wait_for_url("**/rx/rx_*")
    for language, shown in (("zh", ("已结算", "履历链已验证", "医保已结算", "相加")),
                            ("en", ("settled", "Chain verified", "the fund has settled", "adds up"))):
        if switch := page.locator(f"a[hreflang^={language}]").all():
            switch[0].click()
            page.wait_for_selector(f"html[lang^={language}]")
        text = page.inner_text("body")
        assert [words for words in shown if words not in text] == []


@pytest.mark.parametrize("path", ["/", "/rx", "/review"])
@pytest.mark.parametrize("width", [400, 1280])
def test_no_page_is_wider_than_its_window(page, desk, path, width):
    _, url = desk
    sign_in(page, url, OPERATOR_TOKEN)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(url + path)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.fixture(scope="module")
def administrator(desk):
    line, _ = desk
    return enrolled(line.city, "A001", Role.ADMINISTRATOR)


@pytest.mark.parametrize("width", [390, 1280])
def test_an_administrators_pages_are_no_wider_than_their_window_and_show_the_picture(page, desk, administrator, width):
    line, url = desk
    line.clock.advance(seconds=30)
    page.goto(f"{url}/sign-in")
    page.fill("#id", "A001")
    page.keyboard.press("Tab")
    page.keyboard.type(administrator.password)
    page.keyboard.press("Tab")
    page.keyboard.type(administrator.digits())
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/people")
    page.set_viewport_size({"width": width, "height": 844})
    for path in ("/people", "/people/A001", "/partner-tokens", "/access-log", "/access-log/verified", "/account"):
        page.goto(url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    page.goto(f"{url}/enrol")
    page.fill("#code", people.add(line.city, "A001", f"P{width}", "", [Grant(Role.PHARMACIST)]))
    page.keyboard.press("Enter")
    page.wait_for_selector("#again")
    box = page.locator(".picture svg").bounding_box()
    assert 150 <= box["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [390, 1280])
def test_long_words_of_a_prescriber_make_no_page_wider_and_are_there_to_read(page, desk, width):
    line, url = desk
    rx_id = in_review(line)[1]
    long = "每次半片" * 80 + "x" * 300
    tell(line.city, rx_id, item=TOLD_OF_ITEM | {"directions": long, "note": "y" * 400}, **TOLD | {"note": long},
         patient={"allergy_words": ("z" * 200, long)})
    sign_in(page, url, PHARMACIST_TOKEN)
    page.set_viewport_size({"width": width, "height": 844})
    for path in (f"/review/{rx_id}", f"/rx/{rx_id}"):
        page.goto(url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert long in page.inner_text("body")


def test_a_prescription_is_claimed_read_and_passed_by_keyboard_alone(page, desk):
    line, url = desk
    rx_id = in_review(line)[0]
    sign_in(page, url, PHARMACIST_TOKEN)
    page.goto(f"{url}/review/{rx_id}")

    def tab_to(what: str) -> None:
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate("what => document.activeElement.matches(what)", what):
                return
        raise AssertionError(f"{what} cannot be reached")

    tab_to("form[action$='/claim'] button")
    page.keyboard.press("Enter")
    page.wait_for_selector("form#decision")
    tab_to("input[name=decision]")
    page.keyboard.press("Space")
    tab_to("form#decision button")
    page.keyboard.press("Enter")
    page.wait_for_url("**/review?done=*")
    assert line.status(rx_id) is Status.REVIEWED
