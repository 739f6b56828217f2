"""A real gateway on a real socket, and a real browser."""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import expect

from gateway.app import create_app
from sandbox.processes import free_port
from tasks.city import City
from tests.support.city import make_settings

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@contextmanager
def served(city: City, folder: Path, **changes: Any) -> Iterator[str]:
    """The address of a city's gateway; `changes` of its settings."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = uvicorn.Server(uvicorn.Config(create_app(city, make_settings(folder, gateway_url=url, **changes)),
                                           host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield url
    server.should_exit = True
    thread.join(5)


@pytest.fixture(scope="module")
def browser():
    """Asked for after the city: its hops need a loop of their own, and Playwright keeps one running."""
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: install Debian's package chromium")
        pytest.skip("no Chromium: install Debian's package chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


def sign_in(page, url: str, token: str) -> None:
    """Send the form of `/sign-in` in the page's context and open the page it leads to. `fill_in_code` fills the form in itself."""
    answer = page.request.post(f"{url}/sign-in", form={"code": token}, headers={"Origin": url})
    assert answer.ok, (answer.status, answer.text())
    page.goto(answer.url)


def fill_in_code(page, url: str, code: str) -> None:
    """As a person does it, whatever the code is good for."""
    page.goto(f"{url}/sign-in")
    expect(page.locator("input[name=id]")).to_be_focused()  # The page gives it the focus after it is loaded.
    page.locator("main summary").click()
    page.fill("input[name=code]", code)
    page.locator("main details button").click()
    page.locator("form[action='/sign-out'], .error").first.wait_for()
