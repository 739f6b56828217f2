"""The clinic's people and its patient, in a real browser: receive a parcel, refuse a wrong code, take the money, hand it over."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from playwright.sync_api import expect

from domain.fulfilment.deliveries import DeliveryStatus
from tasks.fulfilment.sealed import open_secrets
from tasks.patients import page_address
from tests.e2e.conftest import served, sign_in
from tests.tasks.fulfilment.test_points import POINT, Village

TOKEN = "token-of-the-clinic"
WIDTHS = ((390, 844), (1280, 900))


@dataclass
class Clinic:
    village: Village
    url: str


@pytest.fixture
def clinic(tmp_path) -> Iterator[Clinic]:
    with ThreadPoolExecutor(1) as pool:  # The browser keeps a loop running in this thread.
        village = pool.submit(Village, tmp_path).result()
        pool.submit(village.to_door).result()
    with served(village.city, tmp_path, shops={"S005": {"token": TOKEN, "place": POINT}}) as url:
        yield Clinic(village, url)


def test_a_parcel_is_received_and_handed_over(clinic, browser, tmp_path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    shots: list[str] = []
    found = {}
    patient = clinic.url + page_address(clinic.village.city, clinic.village.rx)

    def look(page, name: str) -> None:
        """In both languages and widths: nothing wider than its window, and nothing for axe."""
        here = page.url.partition("?")[0]
        for language in ("zh", "en"):
            page.goto(f"{here}?lang={language}")
            for width, height in WIDTHS:
                page.set_viewport_size({"width": width, "height": height})
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                if violations := Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]:
                    found[f"{name} {language} {width}"] = [violation["id"] for violation in violations]
                shots.append(f"{name}-{language}-{width}.png")
                page.screenshot(path=tmp_path / shots[-1], full_page=True)

    page = browser.new_page(locale="zh-CN")
    sign_in(page, clinic.url, TOKEN)
    page.goto(f"{clinic.url}/inbox")
    page.get_by_role("link", name="代收包裹 1").click()
    look(page, "coming")
    page.goto(f"{clinic.url}/inbox/parcels?lang=zh")
    page.get_by_role("button", name="已收下").click()
    expect(page.get_by_role("heading", name="等患者领取")).to_be_visible()
    look(page, "here")
    mine = browser.new_page(locale="zh-CN")
    mine.goto(patient)
    expect(mine.locator("main")).to_contain_text("南辛庄村卫生室")
    look(mine, "patient")
    page.goto(f"{clinic.url}/inbox/parcels?lang=zh")
    with ThreadPoolExecutor(1) as pool:
        order = pool.submit(clinic.village.line.order, clinic.village.rx).result()
    for proof in ("WRONG", open_secrets(clinic.village.city, order)["pickup_code"]):
        page.locator("input[name=method][value=cash]").check()
        page.get_by_label("取药码，或身份证末四位").fill(proof)
        page.get_by_role("button", name="交给患者").click()
        if proof == "WRONG":
            expect(page.locator(".error")).to_contain_text("不符")
            page.screenshot(path=tmp_path / "refused.png", full_page=True)
    expect(page.locator("main")).to_contain_text("没有等待领取的包裹")
    look(page, "ended")
    assert found == {}
    assert clinic.village.parcel().delivery.status is DeliveryStatus.SIGNED
