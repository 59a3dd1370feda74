"""What every command finds out anew in an empty cache, although it is the same for all: kept once for all tests."""

from pathlib import Path

_SHARED = Path(__file__).resolve().parent.parent / ".pytest_cache" / "warm"
_SAME = ("models", "mlflow")
"""What torchvision and timm say of networks, kept by versions; and MLflow's empty store."""


def warm(cache: Path) -> Path:
    """``cache``, made if missing, which shares with all other tests what is the same for all."""
    cache.mkdir(parents=True, exist_ok=True)
    for name in _SAME:
        if not (cache / name).exists():
            (_SHARED / name).mkdir(parents=True, exist_ok=True)
            (cache / name).symlink_to(_SHARED / name)
    return cache
