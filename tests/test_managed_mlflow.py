"""An MLflow that SageMaker manages, named by its ARN: the real plug-in signs, and a server of ours answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mlflow_support import fetch_json, mlflow_server
from tests.test_cli import Command

ARN = "arn:aws:sagemaker:us-east-1:123456789012:mlflow-tracking-server/team"
YAML = f"""
name: tiny
data: {{source: synthetic, train_size: 100, test_size: 50, classes: 3, image_size: 32}}
defaults: {{model: lenet5, epochs: 1}}
matrix: {{seed: [0]}}
launch: {{profile: false}}
tracking: {{uri: "{ARN}"}}
"""


@pytest.mark.nightly
@pytest.mark.slow
def test_a_sweep_is_published_there(tmp_path: Path) -> None:
    (tmp_path / "experiments.yaml").write_text(YAML)
    command = Command(tmp_path, tmp_path / "cache")
    (tmp_path / "server").mkdir()
    store = ("--no-serve-artifacts", "--default-artifact-root", str(tmp_path / "artifacts"))  # SageMaker's are in S3
    with mlflow_server(tmp_path / "server", tmp_path / "log.txt", *store) as address:
        command.environment |= {"SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT": address, "AWS_DEFAULT_REGION": "us-east-1"}
        command.environment |= {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"}
        output = command("run")
        assert "`aws sagemaker create-presigned-mlflow-tracking-server-url --tracking-server-name team`" in output
        found = fetch_json(f"{address}/api/2.0/mlflow/experiments/get-by-name?experiment_name=tiny")
    assert found["experiment"]["lifecycle_stage"] == "active"
    assert not (tmp_path / "mlflow.db").exists()
