"""Fails unless the shipped experiment learned: nine families, each well above chance, most of them good."""

import json
import sys
from pathlib import Path

FAMILIES = 9
EVERY, MOST, HOW_MANY = 0.60, 0.75, 5

document = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
accuracies = {row["model"]: row["metrics"]["test/accuracy"]["mean"] for row in document["rows"]}
for model, accuracy in sorted(accuracies.items(), key=lambda item: -item[1]):
    print(f"{accuracy:.3f}  {model}")
assert not document["not_ranked"], f"not ranked: {document['not_ranked']}"
assert len(accuracies) >= FAMILIES, f"{len(accuracies)} models, {FAMILIES} expected"
assert min(accuracies.values()) >= EVERY, f"a model is below {EVERY}"
good = sum(value > MOST for value in accuracies.values())
assert good >= HOW_MANY, f"{good} models above {MOST}, {HOW_MANY} expected"
print(f"{len(accuracies)} models, {good} above {MOST}")
