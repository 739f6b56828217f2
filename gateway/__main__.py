"""`python -m gateway --port 8000`: the gateway of the settings' city."""

import argparse
import socket
import sys

import uvicorn

from gateway.app import create_app
from gateway.web.time_limits import HEADER_BYTES, Line
from infra import log
from infra.settings import get_settings, loopback
from infra.topology import Kind, joined
from tasks.city import open_city

STOP_SECONDS = 3
"""How long a request may go on after SIGTERM; a sender that hears nothing sends again."""


SWITCH_SECONDS = 0.0005
"""How long a thread may compute while others want to. A request asks the database dozens of times, and waits each time until
every thread that reads a large message has had its turn. With Python's default of 5 ms that adds up to seconds."""


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m gateway", description=__doc__)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--host", default="127.0.0.1")
    options = arguments.parse_args()
    settings = get_settings()
    sys.setswitchinterval(SWITCH_SECONDS)
    log.configure(settings.log_level)
    city = open_city(settings)
    # Two gateways of one host differ by their port.
    name = f"{socket.gethostname()}:{options.port}"
    with joined(city.db, Kind.GATEWAY, name, local_archive=settings.archive.kind == "local"):
        log.configure(settings.log_level)  # Again: the migration tool has changed the set-up of logging.
        if not loopback(f"//{options.host}") and not settings.gateway_url.startswith("https://"):
            log.get_logger(__name__).warning("gateway.in_clear", host=options.host, cure="a TLS proxy, and SANYI_GATEWAY_URL=https://…")
        uvicorn.run(create_app(city, settings, options.host), host=options.host, port=options.port, log_config=None,
                    access_log=False,
                    server_header=False, timeout_graceful_shutdown=STOP_SECONDS, http=Line, ws="none",
                    h11_max_incomplete_event_size=HEADER_BYTES, backlog=512)


if __name__ == "__main__":
    main()
