"""The worker is told to stop, and finishes what it has begun."""

import os
import subprocess
import sys
from pathlib import Path

from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL

ROOT = Path(__file__).parents[2]

PROGRAM = """
import asyncio, os, signal
from prefect import flow
from flows.home import told_to_stop

@flow
async def is_told_to_stop():
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.5)
    return "finished"

async def main():
    stop = told_to_stop()
    print(await is_told_to_stop(), stop.is_set())

asyncio.run(main())
"""


def test_a_signal_in_the_middle_of_a_run_lets_it_finish(prefect_server):
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=90,
                          env=os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value()),
                                             "PREFECT_API_AUTH_STRING": str(PREFECT_API_AUTH_STRING.value())})
    assert done.stdout.strip() == "finished True", done.stderr[-2000:]
