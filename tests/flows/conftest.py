"""A Prefect server for the tests of the flows, started when the first of them asks for it."""

from collections.abc import Iterator

import pytest
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_SERVER_API_AUTH_STRING,
    PREFECT_SERVER_CORS_ALLOWED_ORIGINS,
    temporary_settings,
)

PASSWORD = "tests:k3Zr-9bQx_T0vJ5w"


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    # Brings all of Prefect's server with it: seconds that a process without a test of this should not pay.
    from prefect.testing.utilities import prefect_test_harness

    # Guarded, as every server of ours must be.
    guarded = {PREFECT_SERVER_API_AUTH_STRING: PASSWORD, PREFECT_API_AUTH_STRING: PASSWORD,
               PREFECT_SERVER_CORS_ALLOWED_ORIGINS: "http://127.0.0.1:4200"}
    with temporary_settings(guarded), prefect_test_harness(server_startup_timeout=120), temporary_settings(
            {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield
