"""Failed truths show their values."""

import pytest

pytest.register_assert_rewrite("tests.laws.outcome", "tests.laws.small_city", "tests.laws.truths")
