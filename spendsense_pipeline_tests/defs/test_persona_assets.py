"""The persona assets: whom a verdict is of, however the features of the date lie in their file."""

from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spendsense_pipeline import warehouse
from spendsense_pipeline.defs.feature_assets import JOB, WINDOWS
from spendsense_pipeline.settings import Settings
from spendsense_pipeline_tests.conftest import Pipeline
from spendsense_pipeline_tests.personas.test_assignment import DAY, SAVING, SUBSCRIBED, WEALTHY, features

KINDS = {"wealth_builder": WEALTHY, "savings_builder": SAVING, "subscription_heavy": SUBSCRIBED}
CUSTOMERS = 12_000
GROUP = 2_048


@pytest.mark.parametrize("window", WINDOWS)
def test_a_verdict_is_of_its_customer_and_stands_where_the_features_do(tmp_path: Path, window: int) -> None:
    """An engine that need not keep the order of rows loses it with the second group of them."""
    pipeline = Pipeline(Settings(data=tmp_path / "data"))
    kind = np.random.default_rng(7).integers(len(KINDS), size=CUSTOMERS)
    name, root = f"persona_assignments_{window}d", pipeline.settings.warehouse_root
    users = [f"u{number:05}" for number in np.random.default_rng(8).permutation(CUSTOMERS)]
    stored = features(*KINDS.values(), window=window).loc[kind].assign(user_id=users)
    path = Path(warehouse.path(root, f"features_{window}d", str(DAY)))
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pandas(stored, preserve_index=False), path, row_group_size=GROUP)
    assert pq.read_metadata(path).num_row_groups > 2
    with dg.DagsterInstance.ephemeral() as instance:
        job = pipeline.definitions.resolve_job_def(JOB)
        ran = job.execute_in_process(instance=instance, partition_key=str(DAY), asset_selection=[dg.AssetKey(name)])
    assert ran.success
    assigned = warehouse.load(root, name, [str(DAY)]).to_pandas()
    assert assigned["user_id"].tolist() == users
    assert assigned["persona"].tolist() == [list(KINDS)[one] for one in kind]
    assert set(assigned["window_days"]) == {window}
