"""Which connection makes room for a new one, and when there is none."""

import pytest

from runwright.http.connection_limits import ConnectionCaps, ConnectionTable, caps_for


class Connection:
    """A connection that knows whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    def close_idle(self) -> None:
        self.closed = True


def table(total: int, per_address: int) -> ConnectionTable:
    return ConnectionTable(ConnectionCaps(total, per_address, 16))


def added(to: ConnectionTable, count: int, address: str | None = "192.0.2.1") -> list[Connection]:
    made = [Connection() for _ in range(count)]
    assert all(to.add(one, address) for one in made)
    return made


def closed(connections: list[Connection]) -> list[int]:
    return [place for place, one in enumerate(connections) if one.closed]


def test_the_oldest_idle_connection_of_an_address_makes_room() -> None:
    connections = table(10, 3)
    made = added(connections, 5)
    assert closed(made) == [0, 1]
    assert len(connections) == 3


def test_an_address_at_its_cap_takes_nothing_from_others() -> None:
    connections = table(10, 3)
    other = added(connections, 3, "192.0.2.2")
    added(connections, 50)
    assert closed(other) == []


def test_above_the_total_the_oldest_of_all_makes_room() -> None:
    connections = table(4, 3)
    first, second = added(connections, 2, "192.0.2.1"), added(connections, 2, "192.0.2.2")
    third = added(connections, 3, "192.0.2.3")
    assert (closed(first), closed(second), closed(third)) == ([0, 1], [0], [])


def test_a_connection_with_a_request_is_never_closed_for_another() -> None:
    connections = table(10, 3)
    busy = added(connections, 3)
    for one in busy:
        connections.set_busy(one)
    assert not connections.add(Connection(), "192.0.2.1")
    assert closed(busy) == []
    assert added(connections, 1, "192.0.2.2")


def test_a_request_of_an_unknown_caller_makes_room_after_the_idle_ones() -> None:
    connections = table(10, 3)
    made = added(connections, 3)
    for one in made[:2]:
        connections.set_unknown(one)
    for makes_room in (2, 0, 1):
        [one] = added(connections, 1)
        connections.set_busy(one)
        assert made[makes_room].closed
    assert not connections.add(Connection(), "192.0.2.1")


def test_unknown_callers_of_many_addresses_keep_none_out() -> None:
    connections = table(4, 2)
    flood = added(connections, 2, "192.0.2.1") + added(connections, 2, "192.0.2.2")
    for one in flood:
        connections.set_unknown(one)
    [other] = added(connections, 1, "192.0.2.3")
    connections.set_busy(other)
    assert closed(flood) == [0]


def test_idle_is_counted_from_the_last_response() -> None:
    connections = table(10, 2)
    made = added(connections, 2)
    connections.set_busy(made[0])
    connections.set_idle(made[0])
    added(connections, 1)
    assert closed(made) == [1]


def test_a_closed_connection_is_forgotten_whatever_comes_after() -> None:
    connections = table(10, 2)
    [one] = added(connections, 1)
    connections.discard(one)
    connections.discard(one)
    connections.set_idle(one)
    connections.set_busy(one)
    assert len(connections) == 0
    assert closed(added(connections, 2)) == []


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        (None, None, True),
    ],
)
def test_what_counts_as_one_address(first: str | None, second: str | None, same: bool) -> None:
    connections = table(10, 1)
    made = added(connections, 1, first)
    added(connections, 1, second)
    assert made[0].closed is same


@pytest.mark.parametrize(
    ("files", "total", "per_address", "caps"),
    [
        (1500, 0, 0, ConnectionCaps(375, 187, 187)),
        (65_536, 0, 0, ConnectionCaps(16_384, 8_192, 2_048)),
        (1500, 600, 0, ConnectionCaps(600, 300, 187)),
        (1500, 5000, 0, ConnectionCaps(750, 375, 187)),
        (1500, 100, 500, ConnectionCaps(100, 100, 187)),
        (8, 0, 0, ConnectionCaps(4, 2, 4)),
    ],
)
def test_the_caps_leave_half_of_the_files_to_the_process(
    files: int, total: int, per_address: int, caps: ConnectionCaps
) -> None:
    assert caps_for(files, total=total, per_address=per_address) == caps
