"""One configuration in any mode: ``python launch/run_training.py --execution_mode fast_local_mode``.

Without other arguments it trains LeNet-5 on generated images, which needs no data and no network.  It goes the way of
every run (plan, journal, job, tracking, leaderboard) under ``results/run-training``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    # Run as a script, Python puts this folder first on the path, where `local.py` and others could shadow libraries.
    sys.path[0] = str(HERE.parent)

import click  # noqa: E402 - the path comes first

MODES = ("fast_local_mode", "local_mode", "aws_mode", "fast_local", "local", "aws")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--execution_mode", "--execution-mode", type=click.Choice(MODES), default="fast_local", show_default=True)
@click.option("--model", default="lenet5", show_default=True, help="Any name that `python -m benchmark models` lists.")
@click.option("--data", default="synthetic", show_default=True, help="fashion-mini, digits, synthetic, or a directory.")
@click.option("--epochs", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--batch_size", "--batch-size", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--lr", type=float, default=1e-3, show_default=True)
@click.option("--optimizer", default="adamw", show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--role", help="aws: name or ARN of the role that the job runs as; default: $SAGEMAKER_ROLE.")
@click.option("--bucket", help="aws: S3 bucket for code, data and results; default: sagemaker-REGION-ACCOUNT.")
@click.option("--region", help="aws: default: the profile's, or $AWS_REGION.")
@click.option("--instance_type", "--instance-type", help="aws: default: ml.m5.xlarge.")
@click.option("--image", help="local, aws: of the container.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other key of a run. Repeatable.")
@click.option("--results", type=click.Path(file_okay=False, path_type=Path), default=Path("results"), show_default=True)
def main(
    execution_mode: str,
    model: str,
    data: str,
    results: Path,
    settings: tuple[str, ...],
    role: str | None,
    bucket: str | None,
    region: str | None,
    instance_type: str | None,
    image: str | None,
    **keys: str | int | float,
) -> None:
    """Train and evaluate one configuration."""
    from benchmark import cli

    results.mkdir(parents=True, exist_ok=True)
    request = results / "run-training.yaml"
    aws = {"role": role, "bucket": bucket, "region": region, "instance_type": instance_type}
    request.write_text(experiment(model, data, keys, aws, image), encoding="utf-8")
    arguments = ["run", str(request), "--results", str(results), "--mode", execution_mode]
    for each in settings:
        arguments += ["--set", each]
    cli.main(arguments, prog_name="run_training.py")


def experiment(
    model: str,
    data: str,
    keys: Mapping[str, str | int | float],
    aws: Mapping[str, str | None],
    image: str | None = None,
) -> str:
    """The YAML of an experiment with one run; a directory is named in full."""
    import yaml

    source: str | dict[str, str] = data
    if Path(data).is_dir():
        source = {"source": "folder", "path": str(Path(data).resolve())}
    document: dict[str, object] = {"name": "run-training", "data": source, "defaults": {"model": model, **keys}}
    if named := {name: value for name, value in aws.items() if value}:
        document["aws"] = named
    if image:
        document["launch"] = {"image": image}
    return yaml.safe_dump(document, allow_unicode=True, sort_keys=False)


if __name__ == "__main__":
    main()
