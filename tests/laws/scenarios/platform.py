"""What may happen to the platform itself: its rows, its processes, its nights, and Prefect."""

import sqlalchemy as sa

from tests.laws.world import World


def a_row_cannot_be_read(city: World) -> None:
    city.prescribe()
    city.spoil(wake_at=sa.literal_column("'2000-01-01, no time'"))
    city.work()
    city.later(minutes=16)
    city.work()


def forgotten(city: World) -> None:
    city.prescribe()
    city.spoil(wake_at=None)
    city.sweep()
    city.work()


def the_night_after(city: World) -> None:
    """The day is over: its root is kept."""
    city.prescribe()
    city.later(days=1)
    city.anchor()
    city.work()


def a_process_comes_and_goes(city: World) -> None:
    city.prescribe()
    city.join()
    city.work()


def the_canary_sings(city: World) -> None:
    city.prescribe()
    city.sing()
    city.work()


def drawn_in_prefect(city: World) -> None:
    city.prescribe()
    city.draw()
    city.work()
    city.draw()
    city.draw_again()
    city.draw()
    city.stop_drawing()


PLATFORM = (
    a_row_cannot_be_read,
    forgotten,
    the_night_after,
    a_process_comes_and_goes,
    the_canary_sings,
    drawn_in_prefect,
)
