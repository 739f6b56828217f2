"""Each page is in one language, whichever its reader chose, and says nothing in only one of them."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from jinja2 import Environment, nodes

from gateway.web.language import COOKIE, Language, chosen, preferred
from gateway.web.render import TEMPLATES
from tasks.city import City
from tests.support.city import OPERATOR_TOKEN, PHARMACIST_TOKEN, admit

HAN = re.compile("[\u4e00-\u9fff]")
LETTERS = re.compile("[A-Za-z\u4e00-\u9fff]")
READ_ALOUD = ("aria-label", "placeholder", "title", "alt", "data-is", "data-on", "data-off")
"""Attributes that are shown or read to a person."""
NEITHER = {"JSON", "Prefect", "Prefect ↗", "s", "setl_id"}
"""Names and units, which are the same in both languages."""


# --- Which language ---


@pytest.mark.parametrize(("address", "cookie", "accepted", "language"), [
    ("", "", "", "zh"), ("en", "zh", "zh", "en"), ("zh", "en", "en", "zh"), ("", "en", "zh-CN", "en"), ("", "zh", "en", "zh"),
    ("", "", "en-GB", "en"), ("fr", "", "en", "en"), ("EN", "de", "", "zh"), ("fr", "fr", "fr", "zh"),
])
def test_the_address_goes_before_the_cookie_and_the_cookie_before_the_browser(
    address: str, cookie: str, accepted: str, language: str
) -> None:
    assert chosen(address, cookie, accepted) == language


@pytest.mark.parametrize(("header", "language"), [
    ("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("en-US,en;q=0.9,zh-CN;q=0.8", "en"), ("fr, en;q=0.5, zh;q=0.7", "zh"),
    ("fr;q=1, en;q=0.1", "en"), ("en;q=0, zh;q=0.1", "zh"), ("en;q=0", None), ("fr", None), ("*", None), ("", None),
    ("zh, en", "zh"), ("en, zh", "en"), ("EN-us", "en"), ("en ; q = 0.3, zh;q=0.2", "en"), ("en;q=high, zh;q=0.1", "zh"),
    ("en;q=7, zh;q=0.1", "zh"), ("en;q=nan", None), ("english", None), (",;,=", None), ("en;q=0.2, en-GB;q=0.9, zh;q=0.5", "en"),
])
def test_a_browser_is_given_the_language_it_prefers(header: str, language: str | None) -> None:
    assert preferred(header) == language


def test_a_choice_is_kept_in_a_cookie_of_two_values(client: TestClient) -> None:
    answer = client.get("/sign-in?lang=en")
    assert answer.headers["set-cookie"] == f"{COOKIE}=en; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly"
    assert '<html lang="en">' in answer.text
    assert '<html lang="en">' in client.get("/sign-in").text
    for value in ("fr", "EN", "en;q", "", "zh%0d%0aset-cookie:x=1"):
        assert "set-cookie" not in client.get(f"/sign-in?lang={value}").headers
    assert "set-cookie" in client.get("/rx?lang=zh").headers, "also where one must sign in first"
    assert '<html lang="zh-CN">' in client.get("/sign-in").text


def test_a_program_is_given_no_cookie_and_the_same_answer(client: TestClient, operator: dict[str, str]) -> None:
    en, zh = (client.get(f"/api/ops/board?lang={language}", headers=operator) for language in ("en", "zh"))
    assert "set-cookie" not in en.headers
    assert en.json() == zh.json()
    assert {"city", "city_en"} <= en.json().keys()


@pytest.mark.parametrize(("address", "switch"), [
    ("/rx?status=closed&status=settled", "?status=closed&status=settled&lang=en"),
    ("/rx?q=<b>&lang=zh", "?q=%3Cb%3E&lang=en"), ("/rx?lang=en", "?lang=zh"), ("/nowhere", "?lang=en"),
    ("//evil.example", "?lang=en"),
])
def test_the_switch_keeps_the_address(client: TestClient, operator: dict[str, str], address: str, switch: str) -> None:
    page = client.get(f"http://testserver{address}", headers=operator).text
    assert f'href="{switch.replace("&", "&amp;")}"' in page


@pytest.mark.parametrize("form", ["/rx/{id}/wake", "/review/{id}/claim", "/review/{id}/decision"])
def test_the_address_of_a_form_leads_back_to_its_page(
    client: TestClient, city: City, pharmacist: dict[str, str], form: str
) -> None:
    address = form.format(id=admit(city)[0])
    answer = client.get(f"{address}?lang=en", headers=pharmacist)
    assert (answer.status_code, answer.headers["location"]) == (303, address.rpartition("/")[0])


# --- Everything in both ---


class Visible(HTMLParser):
    """The texts of a page that stand in no other language than its own."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._marked: list[bool] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        marked = bool(self._marked and self._marked[-1]) or (tag != "html" and "lang" in attributes)
        if not marked:
            self.texts += [attributes[name] or "" for name in READ_ALOUD if name in attributes]
        if tag not in ("meta", "link", "input", "img", "br"):
            self._marked.append(marked)

    def handle_endtag(self, tag: str) -> None:
        self._marked.pop()

    def handle_data(self, data: str) -> None:
        if not (self._marked and self._marked[-1]):
            self.texts.append(data.strip())


def pages_of(rx_id: str) -> dict[str, list[str]]:
    return {OPERATOR_TOKEN: ["/", "/rx", "/rx?q=none", f"/rx/{rx_id}", "/review", f"/review/{rx_id}", "/mapping",
                             "/rx/rx_unknown", "/nowhere", "/account", "/people"],
            PHARMACIST_TOKEN: ["/review", f"/review/{rx_id}", f"/rx/{rx_id}", "/rx", "/sign-in", "/enrol"]}


def test_an_english_page_has_no_chinese_but_what_is_marked_as_such(client: TestClient, city: City) -> None:
    rx_id = admit(city)[0]
    for token, addresses in pages_of(rx_id).items():
        for address in addresses:
            page = Visible()
            page.feed(client.get(address, headers={"Authorization": f"Bearer {token}", "Accept-Language": "en"}).text)
            assert len(page.texts) > 10
            assert [text for text in page.texts if HAN.search(text)] == [], address


def templates() -> Iterator[tuple[str, str]]:
    for path in sorted(TEMPLATES.rglob("*.html")):
        yield str(path.relative_to(TEMPLATES)), path.read_text(encoding="utf-8")


def literals(source: str) -> set[str]:
    """What a template shows without asking in which language."""
    environment = Environment()
    text = "\0".join(data.data for data in environment.parse(source).find_all(nodes.TemplateData))
    shown = re.findall(rf'(?:{"|".join(READ_ALOUD)})="([^"\0]*)', text)
    text = re.sub(r"<[^<>]*>", "", re.sub(r'[\w-]+="[^"<>]*"', "", text))
    return {part.strip(" \n·:") for part in (*shown, *text.split("\0")) if LETTERS.search(part)}


@pytest.mark.parametrize(("name", "source"), templates(), ids=lambda value: value if value.endswith(".html") else "")
def test_a_template_has_no_text_in_one_language_only(name: str, source: str) -> None:
    assert literals(source) - NEITHER == set()


@pytest.mark.parametrize(("name", "source"), templates(), ids=lambda value: value if value.endswith(".html") else "")
def test_what_a_template_says_it_says_in_both_languages(name: str, source: str) -> None:
    tree = Environment().parse(source)
    constants = {node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str) and HAN.search(node.value)}
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "t":
            zh, en = (argument.value if isinstance(argument, nodes.Const) else None for argument in call.args)
            if zh is None:
                continue  # Words of a view, which has both.
            constants.discard(zh)
            assert en
            assert not HAN.search(en)
            assert HAN.search(zh) or not LETTERS.search(zh), zh
            places = [set(re.findall(r"{(\w+)}", text)) for text in (zh, en)]
            assert places == [{keyword.key for keyword in call.kwargs}] * 2, zh
    assert constants == set()


@pytest.mark.parametrize(("source", "shown"), [
    ("<p>Hello</p>", {"Hello"}), ('<p title="你好">{{ t("好", "good") }}</p>', {"你好"}), ("<p>{{ x }} · {{ y }}</p>", set()),
    ('<a href="/rx/{{ id }}">{{ id }}</a>', set()), ('<a class="{% if x %}button{% endif %}">…</a>', set()), ("{# words #}", set()),
])
def test_the_search_for_texts_sees_what_it_is_for(source: str, shown: set[str]) -> None:
    assert literals(source) == shown


def test_both_languages_are_tried() -> None:
    assert [language.value for language in Language] == ["zh", "en"]
    assert all(Path(TEMPLATES / name).exists() for name in ("web/frame.html", "web/parts.html"))
