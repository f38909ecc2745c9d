"""A wrong setting is refused in words that name it, its value and what is allowed."""

import pytest

from instance_depth_ros import config


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("frames", -1, "frames must be in [0, 1000000000], got -1"),
        ("max_depth_m", -3, "max_depth_m must be in [0.1, 1000] m, got -3"),
        ("seed", "2147483648", "seed must be in [0, 2147483647], got 2147483648"),
        ("min_confidence", float("nan"), "min_confidence must be in [0, 1], got nan"),
        ("rate", "fast", "rate must be one of real, max, or a number in [0.01, 100], got 'fast'"),
        ("rate", "0", "rate must be one of real, max, or a number in [0.01, 100], got '0'"),
        ("rate", "nan", "rate must be one of real, max, or a number in [0.01, 100], got 'nan'"),
        ("rate", True, "rate must be str, got True"),
        ("loop", "perhaps", "loop must be bool, got 'perhaps'"),
        ("width", True, "width must be int, got True"),
    ],
)
def test_a_bad_value_is_refused_by_name(name, value, message):
    with pytest.raises(ValueError) as error:
        config.BY_NAME[name].check(value)
    assert str(error.value) == message


def test_text_becomes_the_setting_s_type():
    assert config.BY_NAME["loop"].check("true") is True
    assert config.BY_NAME["frames"].check("60") == 60
    assert config.BY_NAME["rate"].check("2.5") == config.BY_NAME["rate"].check(2.5) == "2.5"
    assert type(config.BY_NAME["max_depth_m"].check(40)) is float
