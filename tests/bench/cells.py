"""Tenants sharded over cells, on paper: how evenly a placement loads them, and how many tenants have to move.

`python -m tests.bench.cells` prints the figures of docs/decisions (cells). Nothing is measured here: a cell is one
PostgreSQL with its processes that takes so many jobs a second, tenants have sizes of a heavy tail, days with a noon
in one of three time zones, and bursts. All of it follows from a seed, so the figures are the same everywhere.
"""

import argparse
import bisect
import hashlib
import math
import random
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

_ZONES: Final = (0, 8, 16)
_NIGHT: Final = 0.25
"""The load at night, where that at noon is 1."""
_TAIL: Final = 1.16
"""Of a Pareto distribution: four fifths of the load are a fifth of the tenants'."""
_BURST_SHARE: Final = 0.005
_BURST: Final = 6.0
_HIGH: Final = 0.85
"""From here on, a cell gives tenants away."""
_TARGET: Final = 0.75
"""A cell that takes a tenant is not above this with it."""


class Plan(NamedTuple):
    """What is simulated."""

    tenants: int = 10_000
    peak_per_second: float = 100_000.0
    cell_per_second: float = 2_500.0
    headroom: float = 0.7
    """The share of its capacity that a cell has at the peak, if all were loaded alike."""
    tenant_limit: float = 1_000.0
    """A tenant's jobs per second are limited, so that none outgrows its cell."""
    moves_per_hour: int = 20
    days: int = 7
    seed: int = 17

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return math.ceil(self.peak_per_second / self.cell_per_second / self.headroom)


class Outcome(NamedTuple):
    """What became of a placement."""

    cells: int
    p50: float
    """The load of a cell in an hour, as a share of its capacity."""
    p99: float
    highest: float
    overloaded: float
    """The share of the cells' hours above their capacity."""
    moves_per_day: float
    largest_cell: int
    """The most tenants of one cell: they are away when it is."""


def sizes_of(plan: Plan) -> list[float]:
    """Return each tenant's jobs per second at its noon; together they have the peak that is asked for."""
    rng = random.Random(plan.seed)
    raw = [rng.paretovariate(_TAIL) for _ in range(plan.tenants)]
    # Noons of three zones do not coincide, so at the busiest hour the sum is less than that of the noons.
    busiest = max(sum(_day(hour, zone) for zone in _ZONES) / len(_ZONES) for hour in range(24))
    noons = plan.peak_per_second / busiest
    scale = noons / sum(raw)
    for _ in range(50):  # what the limit cuts off, others have
        scale *= noons / sum(min(size * scale, plan.tenant_limit) for size in raw)
    return [min(size * scale, plan.tenant_limit) for size in raw]


def _day(hour: int, zone: int) -> float:
    return _NIGHT + (1 - _NIGHT) * (1 + math.cos((hour - zone - 12) / 12 * math.pi)) / 2


def by_hash(tenant: int, cells: int) -> int:
    """Return the cell of a tenant by rendezvous hashing, which needs no directory."""
    return max(
        range(cells), key=lambda cell: hashlib.blake2b(b"%d/%d" % (tenant, cell), digest_size=8).digest()
    )


def placed_by_hash(sizes: Sequence[float], cells: int) -> list[int]:
    """Return the cell of each tenant by its id alone."""
    return [by_hash(tenant, cells) for tenant in range(len(sizes))]


def placed_by_directory(sizes: Sequence[float], cells: int) -> list[int]:
    """Return the cells of tenants that were placed one by one, each where least is reserved.

    What is reserved for a newcomer is a guess: the median of all, for its size is not known.
    """
    guess = sorted(sizes)[len(sizes) // 2]
    reserved = [(0.0, cell) for cell in range(cells)]
    placed = []
    for _ in sizes:
        load, cell = reserved.pop(0)
        bisect.insort(reserved, (load + guess, cell))
        placed.append(cell)
    return placed


def simulate(plan: Plan, place: Callable[[Sequence[float], int], list[int]], *, moving: bool) -> Outcome:
    """Return what became of the cells in the days of the plan; `moving`: a hot cell gives tenants away."""
    rng = random.Random(plan.seed + 1)
    sizes = sizes_of(plan)
    zones = [rng.choice(_ZONES) for _ in sizes]
    placed = place(sizes, plan.cells)
    loads: list[float] = []
    moves = 0
    for hour in range(plan.days * 24):
        shares = {zone: _day(hour % 24, zone) for zone in _ZONES}
        demands = [size * shares[zone] for size, zone in zip(sizes, zones, strict=True)]
        for tenant in rng.sample(range(len(sizes)), int(_BURST_SHARE * len(sizes))):
            demands[tenant] = min(demands[tenant] * _BURST, plan.tenant_limit)
        cells = _loads(plan, placed, demands)
        loads += cells
        if moving:
            moves += _move(plan, placed, demands, cells)
    loads.sort()
    return Outcome(
        cells=plan.cells,
        p50=loads[len(loads) // 2],
        p99=loads[int(len(loads) * 0.99)],
        highest=loads[-1],
        overloaded=sum(load > 1 for load in loads) / len(loads),
        moves_per_day=moves / plan.days,
        largest_cell=max(placed.count(cell) for cell in range(plan.cells)),
    )


def _loads(plan: Plan, placed: Sequence[int], demands: Sequence[float]) -> list[float]:
    loads = [0.0] * plan.cells
    for cell, demand in zip(placed, demands, strict=True):
        loads[cell] += demand / plan.cell_per_second
    return loads


def _move(plan: Plan, placed: list[int], demands: Sequence[float], loads: list[float]) -> int:
    """Move tenants from the hottest cells to the coldest, a few an hour; return how many moved."""
    for moved in range(plan.moves_per_hour):
        hottest = max(range(plan.cells), key=loads.__getitem__)
        coldest = min(range(plan.cells), key=loads.__getitem__)
        room = (_TARGET - loads[coldest]) * plan.cell_per_second
        fitting = [t for t, cell in enumerate(placed) if cell == hottest and demands[t] <= room]
        if loads[hottest] < _HIGH or not fitting:
            return moved
        excess = (loads[hottest] - _TARGET) * plan.cell_per_second
        chosen = min(fitting, key=lambda tenant: abs(demands[tenant] - excess))
        placed[chosen] = coldest
        loads[hottest] -= demands[chosen] / plan.cell_per_second
        loads[coldest] += demands[chosen] / plan.cell_per_second
    return plan.moves_per_hour


def moved_by_growth(plan: Plan, more: int) -> float:
    """Return the share of tenants that rendezvous hashing moves when cells are added; a directory moves none."""
    tenants = range(plan.tenants // 5)
    return sum(by_hash(t, plan.cells) != by_hash(t, plan.cells + more) for t in tenants) / len(tenants)


def _sizes_line(plan: Plan, sizes: Sequence[float]) -> str:
    largest = sum(sizes[: len(sizes) // 100]) / sum(sizes)
    return (
        f"{plan.tenants:,} tenants, {plan.peak_per_second:,.0f} jobs/s at the busiest hour, {plan.cells} cells of"
        f" {plan.cell_per_second:,.0f}; the largest tenant has {sizes[0]:,.0f} at its noon, the largest 1 % of them"
        f" {largest:.0%} of all."
    )


def report(plan: Plan) -> str:
    """Return the tables."""
    sizes = sorted(sizes_of(plan), reverse=True)
    lines = [
        _sizes_line(plan, sizes),
        "",
        "| placement | p50 | p99 | highest | overloaded hours | moves a day | largest cell |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, place, moving in (
        ("by hash", placed_by_hash, False),
        ("by directory", placed_by_directory, False),
        ("by directory, moving", placed_by_directory, True),
    ):
        one = simulate(plan, place, moving=moving)
        lines.append(
            f"| {name} | {one.p50:.0%} | {one.p99:.0%} | {one.highest:.0%} | {one.overloaded:.2%} |"
            f" {one.moves_per_day:.0f} | {one.largest_cell} |"
        )
    grown = moved_by_growth(plan, plan.cells // 10)
    return "\n".join(
        [*lines, "", f"With a tenth more cells, hashing moves {grown:.1%} of the tenants at once."]
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=Plan().seed)
    print(report(Plan(seed=parser.parse_args().seed)))


if __name__ == "__main__":
    main()
