"""A typing error in a partner's facts is found with the folder, and the message says how to cure it."""

from pathlib import Path

import pytest

from adapters import registry
from domain.errors import NeedsOperator
from infra.http import open_client

GOOD = (registry.HERE / "chains" / "ankang" / "manifest.toml").read_text(encoding="utf-8")


def read(folder: Path, text: str) -> registry.Manifest:
    file = folder / "chains" / "ankang" / "manifest.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    return registry.read_manifest("chains", file)


@pytest.mark.parametrize(
    ("wrong", "field", "cure"),
    [
        (GOOD.replace("owner =", "ovner ="), "ovner", "correct its spelling"),
        (GOOD.replace('owner = "integration"\n', ""), "owner", "add it"),
        (GOOD.replace('held = "held"', 'held = "hold"'), "status_words.held", "should be"),
        (GOOD.replace("attempts = 3", "attempts = 0"), "attempts", "greater than"),
        (GOOD.replace('slug = "ankang"', 'slug = "ankamg"'), "slug", "'ankang'"),
        (GOOD.replace('slug = "ankang"', "slug = ankang"), "not TOML", "syntax"),
    ],
)
def test_a_broken_manifest_names_file_field_and_cure(tmp_path: Path, wrong: str, field: str, cure: str) -> None:
    assert wrong != GOOD
    with pytest.raises(NeedsOperator) as caught:
        read(tmp_path, wrong)
    message = str(caught.value)
    assert "chains/ankang/manifest.toml" in message
    assert field in message
    assert cure in message


def test_facts_cannot_be_changed(tmp_path: Path) -> None:
    facts = read(tmp_path, GOOD)
    with pytest.raises(ValueError, match="frozen"):
        facts.name = "other"  # type: ignore[misc]


def test_an_unknown_partner_is_answered_with_the_known_ones() -> None:
    with pytest.raises(NeedsOperator, match="ankang, baicao"):
        registry.manifest("chains", "nowhere")


async def test_the_line_to_a_partner_has_the_limits_of_its_manifest() -> None:
    async with open_client() as client:
        facts = registry.manifest("chains", "ankang")
        line = registry.transport(facts, "http://partner.example", client)
        assert line.partner == "ankang"
        assert line._attempts == facts.attempts
        assert line._timeout == facts.timeout_seconds
