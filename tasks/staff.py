"""`./go people`: who there is, a first administrator on a fresh installation, a new enrolment code for a person.

Without arguments it lists people and roles. `add A001 administrator` adds a person and prints the enrolment code, which is used at
/enrol within three days; `add S001 shop@ankang` names the place of a role. `invite A001` prints another code. Each act is in
the access log under `command`.
"""

import argparse
import sys
from collections.abc import Sequence

from domain.errors import NeedsOperator
from domain.people import ROLES, Denied, Grant, Role
from infra.db import people as rows
from infra.db import schema
from infra.settings import get_settings
from tasks import accounts, people
from tasks.city import City, open_city


def grant_of(text: str) -> Grant:
    """`shop@ankang` → the role and its place."""
    role, _, place = text.partition("@")
    if role not in set(Role):
        raise argparse.ArgumentTypeError(f"{role} is no role; roles are {', '.join(Role)}")
    return Grant(Role(role), place)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./go people", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    acts = parser.add_subparsers(dest="act")
    adding = acts.add_parser("add", help="a new person 新增人员")
    adding.add_argument("id")
    adding.add_argument("roles", nargs="+", type=grant_of, metavar="ROLE[@PLACE]")
    adding.add_argument("--name", default="", help="kept encrypted 加密保存")
    inviting = acts.add_parser("invite", help="a new enrolment code 新登记码")
    inviting.add_argument("id")
    return parser


def listing(city: City) -> list[str]:
    """A line per person: id, roles, where the account stands."""
    lines = []
    with city.db.reading() as session:
        for person in rows.listed(session):
            state = accounts.state(city, session, person.id)
            word = ("已离开 has left" if person.ended_at else "已登记 enrolled" if state.enrolled
                    else "访问码 access code" if person.source == rows.ENVIRONMENT else "未登记 not enrolled")
            held = [f"{had.grant.role}{'@' * bool(had.grant.place)}{had.grant.place}" for had in person.grants if not had.ended_at]
            lines.append(f"{person.id:16} {' '.join(held):40} {word}")
    return lines or ["没有人员 nobody yet:  ./go people add A001 administrator"]


def enrolment_of(city: City, arguments: argparse.Namespace) -> str:
    """The enrolment code that the act makes. Raises `Denied`."""
    if arguments.act == "invite":
        return people.invite(city, people.COMMAND, accounts.normal_id(arguments.id))
    return people.add(city, people.COMMAND, arguments.id, arguments.name, arguments.roles)


def serve(city: City, address: str, arguments: argparse.Namespace) -> int:
    if not arguments.act:
        print("\n".join(listing(city)))
        return 0
    try:
        code = enrolment_of(city, arguments)
    except Denied as refusal:
        print(f"× {refusal.words.zh}  {refusal.words.en}", file=sys.stderr)
        return 1
    roles = " ".join(f"{ROLES[grant.role].zh} {ROLES[grant.role].en}" for grant in getattr(arguments, "roles", ()))
    print(f"{accounts.normal_id(arguments.id)} {roles}\n登记码 enrolment code: {code}\n"
          f"三天内在此使用 use it within three days at: {address}/enrol")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    settings = get_settings()
    try:
        city = open_city(settings)
    except NeedsOperator as error:
        print(f"× {error}", file=sys.stderr)
        return 1
    try:
        if schema.current(city.db) != schema.newest():
            city.db.migrate()
        return serve(city, settings.gateway_url, arguments)
    finally:
        city.db.close()


if __name__ == "__main__":
    sys.exit(main())
