"""The simulation of cells: it is deterministic, and the decision about it cites what it prints."""

from pathlib import Path

from tests.bench.cells import Plan, by_hash, placed_by_directory, report, simulate, sizes_of

SMALL = Plan(tenants=400, peak_per_second=10_000.0, days=2)
DECISIONS = Path(__file__).resolve().parents[2] / "docs" / "decisions"


def test_the_decision_cites_what_the_simulation_prints() -> None:
    [decision] = DECISIONS.glob("*-tenants-are-sharded-over-cells.md")
    assert report(Plan()) in decision.read_text()


def test_the_load_is_that_of_the_plan_and_no_tenant_outgrows_its_limit() -> None:
    sizes = sizes_of(SMALL)
    assert max(sizes) <= SMALL.tenant_limit
    assert SMALL.peak_per_second <= sum(sizes) < 2.5 * SMALL.peak_per_second


def test_moves_relieve_the_cells_that_a_placement_has_overloaded() -> None:
    stays = simulate(SMALL, placed_by_directory, moving=False)
    moves = simulate(SMALL, placed_by_directory, moving=True)
    assert stays.moves_per_day == 0 < moves.moves_per_day
    assert moves.overloaded < stays.overloaded / 2
    assert simulate(SMALL, placed_by_directory, moving=True) == moves


def test_a_tenant_stays_where_it_is_unless_a_new_cell_takes_it() -> None:
    for tenant in range(50):
        assert by_hash(tenant, 11) in {by_hash(tenant, 10), 10}
