"""Who may do what: the roles of the city's people, the capabilities of the product, and which role has which.

Whether the situation allows an act (one's own prescription, a colleague's claim) is another question. The stage of the act
asks it. Both refuse with `Denied`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.words import Two


class Denied(Exception):
    """A no to a person. `code` is for programs, `words` for people; neither says anything about a patient."""

    def __init__(self, code: str, words: Two) -> None:
        super().__init__(code)
        self.code, self.words = code, words


class Role(StrEnum):
    """What a person is to the platform. A person may have several."""

    PHARMACIST = "pharmacist"
    SENIOR = "senior"
    """A pharmacist who gives second checks and decides what colleagues disagree about."""
    SUPERVISOR = "supervisor"
    """Answers for the work of the pharmacists: queue, figures, samples."""
    PRESCRIBER = "prescriber"
    SHOP = "shop"
    """At a pharmacy that works from our pages."""
    COURIER = "courier"
    VILLAGE_DOCTOR = "village_doctor"
    OPERATOR = "operator"
    INTEGRATION_ENGINEER = "integration_engineer"
    """Of a hospital or a chain: its interface, its messages, its codes."""
    AUDITOR = "auditor"
    """Of the insurance fund: reads all of money and what led to it, changes nothing."""
    CITY_OWNER = "city_owner"
    """The health commission: figures, no single prescription."""
    HOTLINE = "hotline"
    ADMINISTRATOR = "administrator"
    """People, roles, partners' tokens; no prescription and no money."""
    PATIENT = "patient"


class Capability(StrEnum):
    """One act, or one kind of thing to see."""

    SEE_QUEUE = "see_queue"
    CLAIM_REVIEW = "claim_review"
    DECIDE_REVIEW = "decide_review"
    SECOND_CHECK = "second_check"
    SEE_PRESCRIPTION = "see_prescription"
    SEE_PATIENT = "see_patient"
    FIND_PATIENT = "find_patient"
    FIND_PRESCRIPTIONS = "find_prescriptions"
    SEE_RUNS = "see_runs"
    SEE_BOARD = "see_board"
    SEE_FIGURES = "see_figures"
    SEE_METRICS = "see_metrics"
    SEE_MESSAGES = "see_messages"
    REDRIVE = "redrive"
    MAP_CODES = "map_codes"
    SEE_MONEY = "see_money"
    RESOLVE_DIFFERENCES = "resolve_differences"
    CLOSE_NOTICES = "close_notices"
    DRAW_SAMPLES = "draw_samples"
    EXPORT_HISTORIES = "export_histories"
    VERIFY_HISTORIES = "verify_histories"
    CORRECT_PRESCRIPTION = "correct_prescription"
    CHOOSE_PHARMACY = "choose_pharmacy"
    TRACK = "track"
    CANCEL = "cancel"
    SEE_INBOX = "see_inbox"
    SEE_ORDER = "see_order"
    KEEP_SHOP = "keep_shop"
    FILL_ORDERS = "fill_orders"
    HAND_OVER = "hand_over"
    DELIVER = "deliver"
    MANAGE_PEOPLE = "manage_people"
    MANAGE_TOKENS = "manage_tokens"
    READ_ACCESS_LOG = "read_access_log"
    KEEP_OWN_ACCOUNT = "keep_own_account"


_C = Capability
_EVERYBODY = frozenset({_C.KEEP_OWN_ACCOUNT})
_PHARMACIST = _EVERYBODY | {_C.SEE_QUEUE, _C.CLAIM_REVIEW, _C.DECIDE_REVIEW, _C.SEE_PRESCRIPTION, _C.SEE_RUNS, _C.EXPORT_HISTORIES}

GRANTS: Mapping[Role, frozenset[Capability]] = {
    Role.PHARMACIST: _PHARMACIST,
    Role.SENIOR: _PHARMACIST | {_C.SECOND_CHECK},
    Role.SUPERVISOR: _EVERYBODY | {_C.SEE_QUEUE, _C.SEE_PRESCRIPTION, _C.FIND_PRESCRIPTIONS, _C.SEE_FIGURES, _C.DRAW_SAMPLES,
                                   _C.EXPORT_HISTORIES, _C.VERIFY_HISTORIES},
    Role.PRESCRIBER: _EVERYBODY | {_C.SEE_PRESCRIPTION, _C.SEE_PATIENT, _C.CORRECT_PRESCRIPTION},
    Role.SHOP: _EVERYBODY | {_C.SEE_INBOX, _C.SEE_ORDER, _C.FILL_ORDERS, _C.HAND_OVER, _C.KEEP_SHOP},
    Role.COURIER: _EVERYBODY | {_C.DELIVER},
    Role.VILLAGE_DOCTOR: _EVERYBODY | {_C.SEE_PRESCRIPTION, _C.SEE_PATIENT, _C.CHOOSE_PHARMACY, _C.SEE_INBOX, _C.SEE_ORDER,
                                       _C.HAND_OVER, _C.DELIVER},
    Role.OPERATOR: _EVERYBODY | {_C.SEE_QUEUE, _C.SEE_PRESCRIPTION, _C.FIND_PRESCRIPTIONS, _C.SEE_RUNS, _C.SEE_BOARD,
                                 _C.SEE_FIGURES, _C.SEE_METRICS, _C.SEE_MESSAGES, _C.REDRIVE, _C.MAP_CODES,
                                 _C.CLOSE_NOTICES, _C.SEE_MONEY, _C.EXPORT_HISTORIES, _C.VERIFY_HISTORIES},
    Role.INTEGRATION_ENGINEER: _EVERYBODY | {_C.SEE_MESSAGES},
    Role.AUDITOR: _EVERYBODY | {_C.SEE_PRESCRIPTION, _C.FIND_PRESCRIPTIONS, _C.SEE_MONEY, _C.SEE_FIGURES, _C.DRAW_SAMPLES,
                                _C.EXPORT_HISTORIES, _C.VERIFY_HISTORIES, _C.READ_ACCESS_LOG, _C.RESOLVE_DIFFERENCES},
    Role.CITY_OWNER: _EVERYBODY | {_C.SEE_FIGURES},
    Role.HOTLINE: _EVERYBODY | {_C.FIND_PATIENT, _C.FIND_PRESCRIPTIONS, _C.SEE_PRESCRIPTION, _C.CHOOSE_PHARMACY},
    Role.ADMINISTRATOR: _EVERYBODY | {_C.MANAGE_PEOPLE, _C.MANAGE_TOKENS, _C.READ_ACCESS_LOG},
    Role.PATIENT: _EVERYBODY | {_C.CHOOSE_PHARMACY, _C.TRACK, _C.CANCEL},
}
"""What each role may do. Who manages people sees no prescription. An administrator who takes another role leaves a row among
the roles and one in the access log."""

NEEDS_PLACE: Mapping[Role, str] = {
    Role.PRESCRIBER: "hospital", Role.SHOP: "shop", Role.COURIER: "chain", Role.VILLAGE_DOCTOR: "shop",
    Role.INTEGRATION_ENGINEER: "partner",
}
"""Roles that are held at a place, and the kind of place: a chain's slug, or `linli/LL01` for a shop or a clinic of it. The others
are held for the whole city."""

ABOUT_PATIENTS = frozenset({
    _C.SEE_PRESCRIPTION, _C.SEE_PATIENT, _C.SEE_ORDER, _C.FIND_PATIENT, _C.FIND_PRESCRIPTIONS, _C.SEE_MESSAGES, _C.SEE_MONEY,
    _C.TRACK, _C.DRAW_SAMPLES, _C.EXPORT_HISTORIES, _C.READ_ACCESS_LOG,
})
"""To see by one of these is a view of a patient's data, or of who has seen it, and enters the access log. Every act does."""


@dataclass(frozen=True)
class Grant:
    """A role of a person, and where: a chain's slug or the like; empty for the whole city."""

    role: Role
    place: str = ""


@dataclass(frozen=True)
class Person:
    """One of our people, and their roles. `id` is what histories and the access log call them; it is never used again."""

    id: str
    grants: frozenset[Grant]

    @property
    def roles(self) -> frozenset[Role]:
        return frozenset(grant.role for grant in self.grants)

    def may(self, capability: Capability, place: str = "") -> bool:
        """Whether one of the person's roles has it in the whole city, or at that place.

        A role held at a place opens what is of that place only. One's own account is of no place.
        """
        places = self.places(capability)
        return bool(places) if capability is Capability.KEEP_OWN_ACCOUNT else bool(places & {"", place})

    def places(self, capability: Capability) -> frozenset[str]:
        """Where the person has it; `""` among them: everywhere."""
        return frozenset(grant.place for grant in self.grants if capability in GRANTS[grant.role])


def person(id: str, *roles: Role) -> Person:
    """A person with those roles in the whole city."""
    return Person(id, frozenset(map(Grant, roles)))


def check_may(who: Person, capability: Capability, place: str = "") -> None:
    """Raises `Denied` (code `forbidden`) naming who could do it."""
    if who.may(capability, place):
        return
    holders = holding(capability)
    raise Denied("forbidden", Two(f"您的身份无权进行此操作，需要：{'、'.join(ROLES[role].zh for role in holders)}",
                                  f"this needs the role of {' or '.join(ROLES[role].en for role in holders)}"))


def check_may_somewhere(who: Person, capability: Capability) -> None:
    """The same of one that is enough to have at some place: what is seen and done is of that place only."""
    check_may(who, capability, next(iter(sorted(who.places(capability))), ""))


def check_grant(grant: Grant) -> None:
    """Raises `Denied` (code `place_missing` or `place_unwanted`) for a role without the place it is held at, or with one."""
    if grant.role in NEEDS_PLACE and not grant.place:
        raise Denied("place_missing", Two(f"{ROLES[grant.role].zh}须写明所属单位", f"say where: {NEEDS_PLACE[grant.role]}"))
    if grant.role not in NEEDS_PLACE and grant.place:
        raise Denied("place_unwanted", Two(f"{ROLES[grant.role].zh}面向全市，无须填写单位",
                                           f"the role of {ROLES[grant.role].en} is held for the whole city"))


def holding(capability: Capability) -> list[Role]:
    """Roles that have it, in the order in which they are declared."""
    return [role for role in Role if capability in GRANTS[role]]


def is_logged(capability: Capability, *, act: bool) -> bool:
    """Whether it enters the access log: every act, and each view of a patient's data."""
    return act or capability in ABOUT_PATIENTS


def locked_seconds(failures: int) -> int:
    """How long an account stays locked after so many failures in a row.

    Not at all for the first four, then a minute, which doubles up to an hour. It ends by itself: guesses of a stranger must
    not keep a pharmacist from work for a day.
    """
    return 0 if failures < FREE_FAILURES else min(60 << min(failures - FREE_FAILURES, 6), 3600)


FREE_FAILURES = 5
PASSWORD_LENGTH = 12
"""Characters of a password, at least (NIST SP 800-63B asks for 8, and for 15 where there is no second factor)."""
_OBVIOUS = ("password", "123456", "qwerty", "admin", "sanyi")


def weak_password(password: str, own: Iterable[str] = ()) -> Two | None:
    """Why a password is refused; None if it is accepted. `own` are the person's id and name."""
    lowered = password.lower()
    if len(password) < PASSWORD_LENGTH:
        return Two(f"密码至少 {PASSWORD_LENGTH} 个字符", f"a password has {PASSWORD_LENGTH} characters or more")
    if len(password) > 200:
        return Two("密码至多 200 个字符", "a password has 200 characters or fewer")
    if len(set(password)) < 6:
        return Two("密码过于单一", "too few different characters")
    if any(word in lowered for word in (*_OBVIOUS, *(text.lower() for text in own if len(text) > 2))):
        return Two("密码含有常见词或本人姓名、编号", "it holds a common word, or your own name or id")
    return None


ROLES: Mapping[str, Two] = {
    Role.PHARMACIST: Two("审方药师", "pharmacist"),
    Role.SENIOR: Two("资深药师", "senior pharmacist"),
    Role.SUPERVISOR: Two("药事主管", "supervisor"),
    Role.PRESCRIBER: Two("开方医师", "prescriber"),
    Role.SHOP: Two("药店", "pharmacy shop"),
    Role.COURIER: Two("配送员", "courier"),
    Role.VILLAGE_DOCTOR: Two("乡村医生", "village doctor"),
    Role.OPERATOR: Two("平台运维", "operator"),
    Role.INTEGRATION_ENGINEER: Two("接口工程师", "integration engineer"),
    Role.AUDITOR: Two("基金稽核", "fund auditor"),
    Role.CITY_OWNER: Two("市级主管", "city owner"),
    Role.HOTLINE: Two("客服", "hotline"),
    Role.ADMINISTRATOR: Two("管理员", "administrator"),
    Role.PATIENT: Two("患者", "patient"),
}

CAPABILITIES: Mapping[str, Two] = {
    Capability.SEE_QUEUE: Two("查看审方队列", "see the review queue"),
    Capability.CLAIM_REVIEW: Two("领取审方", "claim a review"),
    Capability.DECIDE_REVIEW: Two("作出审方决定", "decide a review"),
    Capability.SECOND_CHECK: Two("复核", "give a second check"),
    Capability.SEE_PRESCRIPTION: Two("查看处方（不含姓名）", "see a prescription, without the person's name"),
    Capability.SEE_PATIENT: Two("查看处方及患者姓名", "see a prescription with the person's name"),
    Capability.FIND_PATIENT: Two("按证件或电话查找患者", "find a patient by id number or phone"),
    Capability.FIND_PRESCRIPTIONS: Two("检索处方列表", "list and search prescriptions"),
    Capability.SEE_RUNS: Two("查看运行记录", "see runs"),
    Capability.SEE_BOARD: Two("查看运维看板", "see the board"),
    Capability.SEE_FIGURES: Two("查看统计数据", "see figures"),
    Capability.SEE_METRICS: Two("查看监控指标", "see metrics"),
    Capability.SEE_MESSAGES: Two("查看接口消息", "see partners' messages"),
    Capability.REDRIVE: Two("重新推动处方", "have a prescription looked at now"),
    Capability.MAP_CODES: Two("对照医院编码", "map a hospital's codes"),
    Capability.SEE_MONEY: Two("查看资金账目", "see money"),
    Capability.RESOLVE_DIFFERENCES: Two("处理对账差异", "resolve a difference"),
    Capability.CLOSE_NOTICES: Two("标记提示为已处理", "mark a notice as dealt with"),
    Capability.DRAW_SAMPLES: Two("抽取样本", "draw a sample"),
    Capability.EXPORT_HISTORIES: Two("导出处方履历", "export a prescription's history"),
    Capability.VERIFY_HISTORIES: Two("校验履历链", "verify histories"),
    Capability.CORRECT_PRESCRIPTION: Two("修改退回的处方", "correct a returned prescription"),
    Capability.CHOOSE_PHARMACY: Two("选择药店与取药方式", "choose a pharmacy and how to get it"),
    Capability.SEE_INBOX: Two("查看本店订单列表", "see the list of one's shop's orders"),
    Capability.SEE_ORDER: Two("查看本店订单及收件人", "see an order of one's shop, and whom it is for"),
    Capability.KEEP_SHOP: Two("管理本店库存、价格与营业时间", "keep one's shop's stock, prices and hours"),
    Capability.FILL_ORDERS: Two("接单配药", "fill orders"),
    Capability.HAND_OVER: Two("核销取药码发药", "hand over against a pickup code"),
    Capability.DELIVER: Two("配送与签收", "deliver"),
    Capability.MANAGE_PEOPLE: Two("管理人员与角色", "manage people and roles"),
    Capability.MANAGE_TOKENS: Two("管理合作方令牌", "manage partners' tokens"),
    Capability.READ_ACCESS_LOG: Two("查阅访问日志", "read the access log"),
    Capability.TRACK: Two("查看本人处方进度", "see where one's own prescription is"),
    Capability.CANCEL: Two("撤销本人处方", "cancel one's own prescription"),
    Capability.KEEP_OWN_ACCOUNT: Two("管理本人账户", "keep one's own account"),
}
