"""Zones are found by their names, with the rules of the package, and a wrong name gets a useful answer."""

from datetime import UTC, datetime, timedelta

import pytest

from runwright.cron.zones import UnknownZoneError, find_zone, zone_names

HELP = "Must be the name of an IANA time zone, for example Europe/Berlin."


@pytest.mark.parametrize(
    ("name", "hours"),
    [("UTC", 0), ("Europe/Berlin", 2), ("America/Argentina/Ushuaia", -3), ("Etc/GMT+5", -5)],
)
def test_a_zone_is_found_by_its_whole_name(name: str, hours: int) -> None:
    zone = find_zone(name)
    assert zone.key == name
    assert datetime(2026, 7, 1, tzinfo=UTC).astimezone(zone).utcoffset() == timedelta(hours=hours)


def test_every_listed_zone_can_be_read_and_the_placeholder_is_not_listed() -> None:
    assert len(zone_names()) > 500
    assert "Factory" not in zone_names()
    for name in zone_names():
        assert find_zone(name).key == name


@pytest.mark.parametrize("name", ["", "x", "Factory", "../../etc/passwd", "Moon/Tranquility", "a" * 10_000])
def test_a_name_that_is_close_to_none_gets_no_hint(name: str) -> None:
    with pytest.raises(UnknownZoneError) as error:
        find_zone(name)
    assert str(error.value) == HELP


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("europe/berlin", "Europe/Berlin"),
        ("Europe/Berln", "Europe/Berlin"),
        ("AMERICA/NEW YORK", "America/New_York"),
    ],
)
def test_a_name_that_is_nearly_right_gets_the_closest_one_as_a_hint(name: str, meant: str) -> None:
    with pytest.raises(UnknownZoneError) as error:
        find_zone(name)
    assert str(error.value) == f"{HELP} Perhaps {meant} is meant."
