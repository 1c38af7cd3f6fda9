"""Mutated bundles are refused, whatever was done to them; `benchmarks.mutations` tries 10,000."""

from edgelane.benchmarks.mutations import MUTATIONS, mutants, prepare, try_all
from edgelane.deploy import Recording


def test_none_is_taken_none_crashes_and_nothing_is_written(shop, tmp_path):
    folder = tmp_path / "tried"
    folder.mkdir()
    golden = {"camera": Recording(shop.rows, 6.0)}
    given, root = prepare(folder, shop.config, frames=[], golden=golden)
    tried = try_all(folder, root, mutants(given, 510, seed=1))
    assert (tried.taken, tried.crashed, tried.written) == ([], [], [])
    assert sum(tried.refused.values()) == 510
    assert {kind.split(",")[0] for kind in tried.refused} == set(MUTATIONS)
