"""Where a piece of code runs."""

import asyncio


def on_the_event_loop() -> bool:
    """Whether the caller holds up every other request while it works."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
