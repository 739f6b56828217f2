"""What is left to do until a chain is live, one step after another; each says itself what it wants."""

import importlib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from adapters import registry
from adapters.kit import steps
from adapters.kit.samples import NoLine
from adapters.protocols import WritesUpdates
from domain.chains import ChainWord
from domain.errors import InvalidPayload, RxError

EXCHANGES = ("quote", "hold", "hold_refused", "place", "place_home", "find", "find_unknown", "cancel", "cancel_refused", "settled")
WORDS = frozenset({ChainWord.ACCEPTED, ChainWord.PREPARED, ChainWord.IN_DELIVERY, ChainWord.HANDED_OVER, ChainWord.DECLINED,
                   ChainWord.RETURNED})
"""What a chain says of an order by itself."""

Step = Callable[[str], str]
"""Slug -> what is left to do, in Chinese and English; empty when it is done."""


def manifest(slug: str) -> str:
    """The chain has its names, and its words and codes stand for ours."""
    where = f"adapters/chains/{slug}/manifest.toml"
    try:
        facts = registry.manifest("chains", slug)
    except RxError as error:
        return f"请改正 manifest.toml Correct the manifest: {error}"
    if missing := sorted(set(ChainWord) - set(facts.status_words.values())):
        return f"{where} 的 [status_words] 缺少 {', '.join(missing)}\nAdd the chain's words for them to [status_words]"
    if facts.name and facts.name_en:
        return ""
    return (f"在 {where} 填写 name（中文名）和 name_en（英文名），并逐项核对 [status_words]、[refusals] 与 [causes]\n"
            f"Fill in name and name_en in {where}, and go through [status_words], [refusals] and [causes]")


def exchanges(slug: str) -> str:
    """Every kind of exchange has a sample, and each is this chain's."""
    folder = _folder(slug) / "samples"
    absent = [name for name in EXCHANGES if not (folder / f"{name}.json").exists()]
    copied = steps.copied(folder)
    kept = [name for name, digest in steps.digests(folder).items() if "/" not in name and copied.get(name) == digest]
    if not absent and not kept:
        return ""
    return (f"用这家连锁自己的报文替换 adapters/chains/{slug}/samples/ 中复制来的 {', '.join([*kept, *absent])}，"
            "格式见 docs/onboarding-chain.md\n"
            "Record the chain's own request and answer for each of them, with invented people, as docs/onboarding-chain.md says")


def words(slug: str) -> str:
    """Every word of the chain about an order has a sample that is read."""
    files = [file for folder in ("callbacks", "updates") for file in sorted((_folder(slug) / "samples" / folder).glob("*"))]
    adapter = importlib.import_module(f"adapters.chains.{slug}.adapter").Adapter
    writer = adapter(registry.manifest("chains", slug), NoLine(), {name: f"sample-{name}" for name in adapter.SECRETS})
    if not isinstance(writer, WritesUpdates):
        return "adapter.py 缺少 parse_update\nGive the adapter a parse_update"
    words_read = set()
    for file in files:
        try:
            words_read.add(writer.parse_update(file.read_bytes()).status)
        except InvalidPayload as invalid:
            first = invalid.findings[0]
            return (f"samples/{file.parent.name}/{file.name}: {first.text}（{first.rule}，{first.path}）；{first.cure}\n"
                    f"{first.text_en}: change adapters/chains/{slug}/translation.py or the manifest until it is read")
    if missing := sorted(WORDS - words_read):
        return (f"samples/callbacks/（轮询的放 samples/updates/）缺少 {', '.join(missing)} 的报文\n"
                f"Put a message of each of them into samples/callbacks, or samples/updates of a chain that is polled")
    copied = steps.copied(_folder(slug) / "samples")
    kept = [f"{file.parent.name}/{file.name}" for file in files
            if copied.get(f"{file.parent.name}/{file.name}") == steps.digest(file.read_bytes())]
    return "" if not kept else (f"用这家连锁自己的报文替换复制来的 {', '.join(kept)}\n"
                                "Replace them by the chain's own messages, with invented people")


def city(slug: str) -> str:
    """A city has a contract with it."""
    for policy in (registry.HERE.parent / "cities").glob("*/policy.toml"):
        if slug in tomllib.loads(policy.read_text(encoding="utf-8")).get("chains", []):
            return ""
    return (f'在 cities/<城市>/policy.toml 的 chains 中加上 "{slug}"；它扫追溯码的话，也加进 coded_chains；'
            '它的各家门店写进同目录的 premises.csv，否则不会得到冷藏药和国谈药订单\n'
            f'Add "{slug}" to chains in the city\'s policy.toml, and to coded_chains if it scans trace codes. Its '
            'stores go into premises.csv beside it, or they get nothing that needs a fridge or is under a price agreement')


def simulated(slug: str) -> str:
    """The sandbox can play it."""
    program = registry.HERE.parent / "sandbox" / f"{slug}.py"
    listed = f'"{slug}"' in (registry.HERE.parent / "sandbox" / "chain.py").read_text(encoding="utf-8")
    if program.exists() and listed:
        return ""
    return (f'写 sandbox/{slug}.py（照 sandbox/ 中方式相同的一家），在 sandbox/chain.py 的 CHAINS 中加上 "{slug}"，'
            f"然后运行 ./go conformance {slug}；连锁自己的测试地址用 --endpoint\n"
            f'Write sandbox/{slug}.py like the one of its kind there and add "{slug}" to CHAINS in sandbox/chain.py, '
            f"then run ./go conformance {slug}, and with --endpoint against the chain's own test address")


STEPS: Mapping[str, Step] = {
    "1 manifest": manifest, "2 exchanges": exchanges, "3 words": words, "4 city": city, "5 sandbox": simulated,
}


def left(slug: str) -> dict[str, str]:
    """Every step that is not done, with what it wants."""
    return {name: todo for name, step in STEPS.items() if (todo := step(slug))}


def _folder(slug: str) -> Path:
    return registry.HERE / "chains" / slug
