"""The city this process works for, opened once."""

from functools import cache

from infra.settings import get_settings
from tasks.city import City, open_city


@cache
def city() -> City:
    """The city of the settings. Raises `NeedsOperator` naming what is missing."""
    return open_city(get_settings())
