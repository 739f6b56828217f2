"""What is left to do until a hospital is live, one step after another; each says itself what it wants."""

import hashlib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from adapters import registry
from adapters.kit import samples
from domain.errors import InvalidPayload, RxError
from fhir_profiles.checker import check_data

COPIED = "copied.toml"
"""In `samples/`: what was copied from the other hospital, by digest; the last step is to delete it."""

Step = Callable[[str], str]
"""Slug -> what is left to do, in Chinese and English; empty when it is done."""


def manifest(slug: str) -> str:
    """The hospital has its names."""
    try:
        facts = registry.manifest("hospitals", slug)
    except RxError as error:
        return f"请改正 manifest.toml Correct the manifest: {error}"
    if facts.name and facts.name_en:
        return ""
    return (f"在 adapters/hospitals/{slug}/manifest.toml 填写 name（中文名）和 name_en（英文名），并逐项核对 [facts]\n"
            f"Fill in name and name_en in adapters/hospitals/{slug}/manifest.toml, and go through [facts]")


def own_samples(slug: str) -> str:
    """The samples are this hospital's."""
    taken = copied(samples.folder(slug) / "samples")
    left = [sample.name for sample in samples.valid(slug) if taken.get(sample.name) == digest(sample.raw)]
    if not left and samples.valid(slug):
        return ""
    return (f"把医院提供的处方和撤销报文放进 adapters/hospitals/{slug}/samples/（先脱敏），删除复制来的 "
            f"{', '.join(left) or '样例'}\n"
            f"Put the hospital's own messages, a prescription and a cancel at least, into its samples folder, with invented "
            f"people, and delete what was copied")


def translated(slug: str) -> str:
    """Every sample can be read and breaks no rule."""
    adapter, codes = samples.reader(slug), samples.tables(slug)
    for sample in samples.valid(slug):
        try:
            message = adapter.to_fhir(sample.raw, codes)
            findings = [] if message.unmapped else check_data(message.resource, slug)
            places = [(it, it.spot or message.locate(it.path)) for it in findings]
        except InvalidPayload as invalid:
            places = [(it, it.spot) for it in invalid.findings]
        if places:
            finding, spot = places[0]
            return (f"samples/{sample.name}: {finding.text}（{finding.code}，{spot or finding.path}）；{finding.cure}\n"
                    f"{finding.text_en} Change adapters/hospitals/{slug}/translation.py or the manifest until it is read")
    return ""


def mapped(slug: str) -> str:
    """Every code in the samples stands for one of ours."""
    left = samples.unmapped(slug)
    if not left:
        return ""
    few = "、".join(f"{code.table} {code.theirs} {code.name}".strip() for code in left[:5])
    return (f"{len(left)} 个编码未对照：{few}。运行 ./go map {slug}，由人员核对后采纳\n"
            f"{len(left)} codes are not mapped: run ./go map {slug} and have a person accept what is right")


def mistakes(slug: str) -> str:
    """Its typical mistakes are samples too."""
    taken = copied(samples.folder(slug) / "samples")
    kept = [sample.name for sample in samples.invalid(slug) if taken.get(f"invalid/{sample.name}") == digest(sample.raw)]
    if not kept and len(samples.invalid(slug)) >= 2:
        return ""
    return (f"在 samples/invalid/ 放入至少两条这家医院的错误报文，在 index.toml 写明各自应引起的问题；删除复制来的 "
            f"{', '.join(kept[:3])}\n"
            f"Put two or more of its mistakes into samples/invalid and say in index.toml which finding each must cause; "
            f"delete what was copied")


def city(slug: str) -> str:
    """A city has a contract with it."""
    for policy in (registry.HERE.parent / "cities").glob("*/policy.toml"):
        policy_table = tomllib.loads(policy.read_text(encoding="utf-8"))
        if slug in [hospital.get("slug") for hospital in policy_table.get("hospitals", [])]:
            return ""
    return (f'在 cities/<城市>/policy.toml 末尾加上 [[hospitals]]，slug = "{slug}"，以及 level 和 contracted\n'
            f'Add a [[hospitals]] with slug = "{slug}", level and contracted to the city\'s policy.toml')


def simulated(slug: str) -> str:
    """The sandbox can play it."""
    if f'"{slug}"' in (registry.HERE.parent / "sandbox" / "plan.py").read_text(encoding="utf-8"):
        return ""
    return (f'在 sandbox/plan.py 的 HOSPITALS 中加上 "{slug}" 及其方言，然后运行 ./go conformance {slug}\n'
            f'Add "{slug}" and its dialect to HOSPITALS in sandbox/plan.py, then run ./go conformance {slug}')


STEPS: Mapping[str, Step] = {
    "1 manifest": manifest, "2 samples": own_samples, "3 translation": translated, "4 mapping": mapped, "5 mistakes": mistakes,
    "6 city": city, "7 sandbox": simulated,
}


def left(slug: str) -> dict[str, str]:
    """Every step that is not done, with what it wants."""
    return {name: todo for name, step in STEPS.items() if (todo := step(slug))}


def copied(folder: Path) -> dict[str, str]:
    """Name -> digest of what was copied into a folder of samples."""
    file = folder / COPIED
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def digests(folder: Path) -> dict[str, str]:
    """Name -> digest of every sample in a folder."""
    return {str(file.relative_to(folder)): digest(file.read_bytes()) for file in sorted(folder.rglob("*"))
            if file.is_file() and file.suffix != ".toml"}


def digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:16]
