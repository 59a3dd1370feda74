"""Images that lie in S3: against the rehearsal's server, with an unmodified boto3."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.config import Config
from PIL import Image

from benchmark.config import ConfigError, parse, selection
from benchmark.data import s3
from benchmark.data.address import Address, unsafe
from benchmark.data.datasets import DataError, inspect, load, prepare
from benchmark.data.telling import told
from benchmark.run import DataSpec, Run
from launch import aws_clients
from launch.rehearsal.client import Rehearsal
from launch.rehearsal.faults import Error, Faults
from tests.test_cli import ROOT, Command

COUNT = 4
"""Images of each class."""
EXPERIMENT = """
name: tiny
data: {source: SOURCE, path: "PLACE", image_size: 16}
defaults: {model: lenet5, epochs: 1, batch_size: 2}
matrix: {seed: [0, 1]}
MORE
"""


def picture(number: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (9, 8), (number % 256, number // 256, 90)).save(file, kind)
    return file.getvalue()


def photos() -> dict[str, bytes]:
    """Images of two classes, beside what is no image."""
    images = {f"{name}/{n} a+b.png": picture(10 * n + p) for p, name in enumerate(("кот", "dog")) for n in range(COUNT)}
    return images | {"readme.txt": b"x", "dog/.hidden.png": b"x", "__MACOSX/1.png": b"x", "dog/": b""}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    with Rehearsal(tmp_path_factory.mktemp("server"), executor="simulated") as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Rehearsal) -> Iterator[Any]:
    """S3, for what the tests put there."""
    with pytest.MonkeyPatch.context() as patch, closing(_client(server, patch)) as found:
        yield found


def _client(server: Rehearsal, patch: pytest.MonkeyPatch) -> Any:
    patch.delenv("AWS_PROFILE", raising=False)
    for name, value in server.environment().items():
        patch.setenv(name, value)
    return aws_clients.Clients()("s3")


class Bucket:
    """A folder in S3 of a test's own, and a cache."""

    def __init__(self, server: Rehearsal, client: Any, place: Path) -> None:
        self.server, self.cache, self.place = server, place / "cache #1", place
        self.prefix = f"t{abs(hash(place)) % 10**9}/my фото"
        self.client = client
        self.before = len(server.calls())

    @property
    def address(self) -> str:
        return f"s3://{self.server.bucket}/{self.prefix}"

    @property
    def spec(self) -> DataSpec:
        return DataSpec("s3", path=self.address)

    @property
    def root(self) -> Path:
        """Where the images lie in the cache."""
        (found,) = (each for each in (self.cache / "s3").iterdir() if each.is_dir())
        return found

    def put(self, objects: Mapping[str, bytes]) -> None:
        for key, content in objects.items():
            self.client.put_object(Bucket=self.server.bucket, Key=f"{self.prefix}/{key}", Body=content)

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=self.server.bucket, Key=f"{self.prefix}/{key}")

    def local(self, objects: Mapping[str, bytes]) -> DataSpec:
        """The same as a folder of this machine."""
        root = self.place / "local"
        for key, content in objects.items():
            if not key.endswith("/"):
                (root / key).parent.mkdir(parents=True, exist_ok=True)
                (root / key).write_bytes(content)
        return DataSpec("folder", path=str(root))

    def inspect(self, **keys: Any) -> Any:
        """The facts, as a new process sees them, and which operations it needed."""
        s3.fetched.cache_clear()
        self.calls()
        return inspect(DataSpec("s3", path=self.address, **keys), self.cache)

    def calls(self) -> Counter[str]:
        """The operations since it was last asked."""
        found = self.server.calls()[self.before :]
        self.before += len(found)
        return Counter(each["operation"] for each in found if each["by"] == "caller")

    def files(self) -> set[str]:
        return {each.relative_to(self.root).as_posix() for each in self.root.rglob("*") if each.is_file()}

    def command(self, cache: Path, more: str = "") -> Command:
        """In a directory whose experiment has these images; ``cache`` knows the models already."""
        home = self.place / "home"
        home.mkdir()
        text = EXPERIMENT.replace("SOURCE", "s3").replace("PLACE", f"{self.address}/").replace("MORE", more)
        (home / "experiments.yaml").write_text(text)
        command = Command(home, cache)
        command.environment |= self.server.environment()
        return command


@pytest.fixture
def bucket(server: Rehearsal, client: Any, tmp_path: Path) -> Iterator[Bucket]:
    yield Bucket(server, client, tmp_path)
    server.set_faults(Faults())
    s3.fetched.cache_clear()


# --- the images -----------------------------------------------------------------------------------------------------


def test_images_in_s3_are_the_same_data_as_those_of_a_folder(bucket: Bucket) -> None:
    bucket.put(photos())
    bucket.client.put_object(Bucket=bucket.server.bucket, Key=f"{bucket.prefix} 2/dog/x.png", Body=b"another folder's")
    facts, local = bucket.inspect(), bucket.local(photos())
    assert facts == inspect(local, bucket.cache)
    assert Run(bucket.spec, "lenet5", facts.digest).run_id == Run(local, "lenet5", facts.digest).run_id
    assert bucket.calls() == {"ListObjectsV2": 1, "GetObject": 2 * COUNT}
    assert bucket.files() == {key for key in photos() if key.endswith("a+b.png")}
    assert load(bucket.spec, bucket.cache).ids == load(local, bucket.cache).ids
    form = {"image_size": 8, "channels": 3, "resize": "crop", "cache": bucket.cache}
    assert prepare(bucket.spec, **form) == prepare(local, **form)
    assert bucket.calls() == {}, "once in a process"


def test_the_second_time_only_the_listing_is_asked_for(bucket: Bucket) -> None:
    bucket.put(photos())
    facts = bucket.inspect()
    assert bucket.inspect() == facts
    assert bucket.calls() == {"ListObjectsV2": 1}
    assert bucket.inspect(test_fraction=0.5).sizes["test"] == COUNT


def test_new_and_changed_objects_are_fetched_and_removed_ones_go(bucket: Bucket) -> None:
    bucket.put(photos())
    bucket.inspect()
    bucket.put({"dog/0 a+b.png": picture(777), "dog/deep/er/new.png": picture(888)})
    bucket.remove("кот/1 a+b.png")
    now = photos() | {"dog/0 a+b.png": picture(777), "dog/deep/er/new.png": picture(888)}
    del now["кот/1 a+b.png"]
    facts = bucket.inspect()
    assert bucket.calls() == {"ListObjectsV2": 1, "GetObject": 2}
    assert facts == inspect(bucket.local(now), bucket.cache)
    bucket.remove("dog/deep/er/new.png")
    bucket.inspect()
    assert not (bucket.root / "dog" / "deep").exists()


def test_a_name_may_turn_from_a_file_into_a_directory_and_back(bucket: Bucket) -> None:
    bucket.put(photos() | {"dog/x.png": picture(700)})
    bucket.inspect()
    bucket.remove("dog/x.png")
    bucket.put({"dog/x.png/y.png": picture(701)})
    bucket.inspect()
    assert "dog/x.png/y.png" in bucket.files()
    bucket.remove("dog/x.png/y.png")
    bucket.put({"dog/x.png": picture(702)})
    bucket.inspect()
    assert (bucket.root / "dog" / "x.png").read_bytes() == picture(702)


def test_files_of_the_cache_that_were_touched_are_fetched_again(bucket: Bucket) -> None:
    bucket.put(photos())
    facts = bucket.inspect()
    (bucket.root / "dog" / "0 a+b.png").write_bytes(picture(5))
    (bucket.root / "dog" / "1 a+b.png").unlink()
    (bucket.root / "dog" / "strange.png").write_bytes(picture(5))
    (bucket.root / "link").symlink_to(bucket.place)
    assert bucket.inspect() == facts
    assert bucket.calls()["GetObject"] == 2
    assert bucket.files() == {key for key in photos() if key.endswith("a+b.png")}
    bucket.root.with_suffix(".json").write_text("{")
    assert bucket.inspect() == facts
    assert bucket.calls()["GetObject"] == 2 * COUNT
    assert bucket.place.is_dir()


def test_splits_and_copies_are_as_in_a_folder_and_errors_name_the_address(bucket: Bucket) -> None:
    split = {f"{part}/{name}/{n}.png": picture(100 * len(part) + 10 * len(name) + n) for part in ("train", "test")
             for name in ("кот", "drake") for n in range(4)}  # fmt: skip
    bucket.put(split)
    facts = bucket.inspect(val_fraction=0.5)
    assert facts == inspect(replace(bucket.local(split), val_fraction=0.5), bucket.cache)
    assert facts.sizes == {"train": 4, "val": 4, "test": 8}
    bucket.put({"test/кот/copy.png": split["train/кот/2.png"]})
    with pytest.raises(DataError, match="1 image stands in more than one split") as caught:
        bucket.inspect(val_fraction=0.5)
    assert str(caught.value).startswith(f"{bucket.address}: ")
    assert bucket.inspect(val_fraction=0.5, duplicates="allow").sizes["test"] == 9


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        ({"dog/broken.png": b"no image"}, "dog/broken.png: not an image"),
        ({"loose.png": picture(1)}, ": images in no class directory: loose.png"),
        ({"dog/a.heic": b"x"}, ": images of kinds that are not read; convert to PNG or JPEG: 'dog/a.heic'"),
    ],
)
def test_what_a_folder_refuses_is_refused_with_its_address(
    bucket: Bucket, objects: dict[str, bytes], expected: str
) -> None:
    bucket.put(photos() | objects)
    with pytest.raises(DataError) as caught:
        bucket.inspect()
    assert f"{bucket.address}{'/' * expected.startswith('dog')}{expected}" in str(caught.value)
    assert str(bucket.cache) not in str(caught.value)


def test_an_image_that_changes_in_the_cache_meanwhile_is_called_by_its_address(bucket: Bucket) -> None:
    bucket.put(photos())
    bucket.inspect()
    data = load(bucket.spec, bucket.cache)
    for path in bucket.root.rglob("*.png"):
        path.write_bytes(b"other")
    with pytest.raises(DataError, match=r"s3://.*a\+b\.png: changed while it was being read"):
        data.images.pixels(0)


def test_downloads_are_told(bucket: Bucket) -> None:
    bucket.put(photos())
    heard: list[tuple[str, int, int]] = []
    with told(lambda *each: heard.append(each)):
        bucket.inspect()
    assert ("downloading images", 2 * COUNT, 2 * COUNT) in heard


def test_of_several_at_once_one_downloads(bucket: Bucket) -> None:
    bucket.put(photos())
    s3.fetched.cache_clear()
    bucket.calls()
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(inspect(bucket.spec, bucket.cache))) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 3
    assert bucket.calls()["GetObject"] == 2 * COUNT


# --- what goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    ["../../evil.png", "dog/../../../evil.png", "dog//evil.png", "/evil.png", "dog/./evil.png", "dog/e\x1b[2Jvil.png",
     "dog/" + "e" * 260 + ".png"],
)  # fmt: skip
def test_keys_that_are_no_safe_paths_are_refused_and_named(bucket: Bucket, key: str) -> None:
    bucket.put({"dog/1.png": picture(2), key: picture(1)})
    with pytest.raises(DataError) as caught:
        bucket.inspect()
    assert f"{bucket.address}: keys that cannot be files here: {key!r}" in str(caught.value)
    assert bucket.calls() == {"ListObjectsV2": 1}, "nothing is downloaded"
    assert not list(bucket.place.rglob("*vil.png"))


def test_a_key_that_is_a_file_and_a_directory_is_refused_and_named(bucket: Bucket) -> None:
    bucket.put({"dog/a.png": picture(1), "dog/a.png/b/c.png": picture(2)})
    with pytest.raises(DataError, match=r"files and directories at once; rename them: 'dog/a\.png'$"):
        bucket.inspect()


def test_two_keys_that_are_one_file_here_are_refused(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system that does not tell letters' cases apart."""
    bucket.put({"dog/A.png": picture(700), "dog/a.png": picture(701)})
    rename = Path.replace

    def one_file(path: Path, target: Path) -> Path:
        done = rename(path, target)
        twin = target.with_name({"A.png": "a.png", "a.png": "A.png"}.get(target.name, "other"))
        twin.unlink(missing_ok=True)
        twin.hardlink_to(target)
        return done

    monkeypatch.setattr(Path, "replace", one_file)
    monkeypatch.setattr(s3, "THREADS", 1)
    with pytest.raises(DataError, match=r"'dog/A\.png' and another key are one file here; rename one of them"):
        bucket.inspect()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("s3://there-is-no-such/photos", "s3://there-is-no-such/photos: there is no such bucket: correct `path`"),
        ("s3://rehearsal-data/nowhere", "s3://rehearsal-data/nowhere: nothing lies there; correct `path`"),
    ],
)
def test_an_address_where_nothing_lies(bucket: Bucket, path: str, expected: str) -> None:
    path = path.replace("rehearsal-data", bucket.server.bucket)
    with pytest.raises(DataError) as caught:
        inspect(DataSpec("s3", path=path), bucket.cache)
    assert str(caught.value).startswith(expected.replace("rehearsal-data", bucket.server.bucket))


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        (Faults(expired=True), r"AWS does not accept the credentials: `aws sso login`.*token .* is expired"),
        (Faults(errors=(Error("ListObjectsV2", "AccessDenied"),)), r"you may not read it: s3:ListBucket"),
        (Faults(errors=(Error("GetObject", "AccessDenied", nth=2, times=0),)), r"a\+b\.png: you may not read it"),
        (Faults(errors=(Error("GetObject", "InvalidObjectState"),)), r"a\+b\.png: S3 refuses it \(InvalidObjectState"),
        (Faults(errors=(Error("GetObject", "PreconditionFailed"),)), r"a\+b\.png: changed while it was being down"),
    ],
)
def test_what_s3_refuses_is_said_with_the_remedy(bucket: Bucket, faults: Faults, expected: str) -> None:
    """Also where everything is in the cache: it may have changed."""
    bucket.put(photos())
    if not faults.errors:
        bucket.inspect()
    bucket.server.set_faults(faults)
    with pytest.raises(DataError, match=expected) as caught:
        bucket.inspect()
    assert str(caught.value).startswith(bucket.address)
    bucket.server.set_faults(Faults())
    assert bucket.inspect() == inspect(bucket.local(photos()), bucket.cache)


def test_an_object_that_changes_between_listing_and_download_is_not_mixed_up(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    from launch.aws_objects import Objects

    bucket.put(photos())
    listing = Objects.listing

    def change(self: Objects) -> Any:
        found = listing(self)
        bucket.put({"dog/3 a+b.png": picture(999)})
        return found

    monkeypatch.setattr(Objects, "listing", change)
    with pytest.raises(DataError, match=r"dog/3 a\+b\.png: changed while it was being downloaded"):
        bucket.inspect()


def test_without_a_network_or_credentials_there_are_no_data(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put(photos())
    bucket.inspect()
    once = aws_clients.CONFIG.merge(Config(retries={"total_max_attempts": 1}))
    monkeypatch.setattr(aws_clients, "CONFIG", once)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(DataError, match=r"S3 cannot be reached: look at the network"):
        bucket.inspect()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(DataError, match=r"no credentials of an AWS account: `aws sso login`") as caught:
        bucket.inspect()
    assert str(caught.value).startswith(f"{bucket.address}: no credentials")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(DataError, match=r"profile \(nobody\) could not be found"):
        bucket.inspect()


def test_a_full_disk_is_said_before_anything_is_downloaded(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put(photos())
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=9))
    with pytest.raises(DataError, match=r"0\.0 GB are free in .*cache #1; free some space there, or set TORCH_IMAGE"):
        bucket.inspect()
    assert bucket.calls() == {"ListObjectsV2": 1}


KILLED = """
import os, shutil, signal, sys, threading
from pathlib import Path
from benchmark.data.datasets import inspect
from benchmark.run import DataSpec
import launch.aws_objects
lock, done, copy = threading.Lock(), [], shutil.copyfileobj

def half(body, file):
    with lock:
        done.append(1)
        if len(done) == 7:
            file.write(body.read()[:20])
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        copy(body, file)

launch.aws_objects.shutil.copyfileobj = half
inspect(DataSpec("s3", path=sys.argv[1]), Path(sys.argv[2]))
"""


def test_what_a_killed_process_left_is_not_taken_for_whole(bucket: Bucket) -> None:
    bucket.put(photos())
    command = [sys.executable, "-c", KILLED, bucket.address, str(bucket.cache)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert any(each.startswith(".") for each in bucket.files())
    assert bucket.inspect() == inspect(bucket.local(photos()), bucket.cache)
    assert bucket.files() == {key for key in photos() if key.endswith("a+b.png")}


def test_after_a_failure_only_the_rest_is_downloaded(bucket: Bucket) -> None:
    bucket.put(photos())
    bucket.server.set_faults(Faults(errors=(Error("GetObject", "AccessDenied", nth=2 * COUNT, times=0),)))
    with pytest.raises(DataError):
        bucket.inspect()
    bucket.server.set_faults(Faults())
    bucket.inspect()
    assert bucket.calls()["GetObject"] < COUNT


# --- the experiment -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("photos", ":27: path must be the address of a folder in S3 such as s3://my-bucket/photos; a bucket's name"),
        ("s3://", ":27: path must be the address"),
        ("s3:///photos", ":27: path must be the address"),
        ("s3://My_Bucket/photos", ":27: path must be the address"),
        ("s3://a..b/photos", ":27: path must be the address"),
        ("https://my-bucket.s3.amazonaws.com/photos", ":27: path must be the address"),
        ("s3://AKIA:secret1@my-bucket/photos", ":27: path must be the address"),
        ("s3://my-bucket/a/../../b", "what follows the bucket has an empty part, or a part . or .."),
        ("s3://my-bucket//b", "what follows the bucket has an empty part"),
        ("s3://my-bucket/\\e[2J", "invisible character U+001B"),
        ("s3://my-bucket/\\ud800", "U+D800 can stand in no text"),
    ],
)
def test_a_wrong_address_is_an_error_at_its_place(path: str, expected: str) -> None:
    text = f'name: a\nmatrix: {{model: lenet5}}\ndata: {{source: s3,  path: "{path}"}}\n'
    with pytest.raises(ConfigError) as caught:
        parse(text, Path("e.yaml"))
    (line,) = str(caught.value).splitlines()
    assert line.startswith("e.yaml:3:")
    assert expected in line
    assert "secret1" not in line


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("s3", "s3 data need a path, for example {source: s3, path: s3://my-bucket/photos}"),
        ("{source: folder, path: s3://b-b/c}", "path of folder data is a place on this machine; for S3 write"),
        ("{source: s3, path: s3://b-b/c, planes: 3}", "planes does nothing for s3 data"),
    ],
)
def test_options_that_do_not_fit_are_errors(data: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected.replace("{", r"\{")):
        parse(f"name: a\nmatrix: {{model: lenet5}}\ndata: {data}\n", Path("e.yaml"))


@pytest.mark.parametrize(
    ("path", "label"),
    [("s3://my-bucket/some/photos/", "photos"), ("s3://my-bucket", "my-bucket"), ("s3://b.b/", "b.b")],
)
def test_an_address_stays_as_it_is_but_for_slashes_at_its_end(path: str, label: str) -> None:
    text = f"name: a\nmatrix: {{model: lenet5}}\ndata: {{source: s3, path: {path}, val_fraction: 0.3}}\n"
    (spec,) = parse(text, Path("/elsewhere/e.yaml")).data
    assert (spec.path, spec.label, spec.val_fraction) == (path.rstrip("/"), label, 0.3)
    assert str(Address.parse(path)) == spec.path


def test_cells_are_chosen_by_an_address() -> None:
    text = (
        "name: a\nmatrix: {model: lenet5, data: [{source: s3, path: s3://b-b/cats}, {source: s3, path: s3://b-b/dogs}]}"
    )
    runs = [cell.run for cell in parse(text, Path("e.yaml")).cells]
    wanted = selection(["data={path: s3://b-b/cats/}"])
    assert [run.data.label for run in runs if run in wanted] == ["cats"]


@pytest.mark.parametrize("key", ["a.png", "dog/1.png", "a/b..c/..d.png", "кот/1.png", "a" * 255])
def test_usual_keys_are_paths(key: str) -> None:
    assert unsafe(key) is None


@pytest.mark.slow
def test_plan_and_validate_list_once_and_give_the_run_ids_of_the_folder(bucket: Bucket, cache: Path) -> None:
    command = bucket.command(cache)
    assert "nothing lies there" in command("validate", code=2)
    bucket.put(photos())
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        del command.environment[name]
    bucket.calls()
    assert "2 runs" in command("validate")
    assert bucket.calls() == {"ListObjectsV2": 1, "GetObject": 2 * COUNT}
    cells = json.loads(command("plan", "--no-probe", "--json"))["cells"]
    assert bucket.calls() == {"ListObjectsV2": 1}
    assert {cell["data"] for cell in cells} == {"my фото"}
    text = EXPERIMENT.replace("SOURCE", "folder").replace("PLACE", bucket.local(photos()).path).replace("MORE", "")
    (command.home / "folder.yaml").write_text(text)
    folder = json.loads(command("plan", "folder.yaml", "--no-probe", "--json"))["cells"]
    assert {cell["run_id"] for cell in folder} == {cell["run_id"] for cell in cells}


@pytest.mark.slow
def test_a_sweep_is_rehearsed_with_images_in_s3(bucket: Bucket, cache: Path) -> None:
    bucket.put(photos())
    bucket.calls()
    command = bucket.command(cache, 'launch: {mode: aws, image: "x", profile: false}')
    assert "2 of 2 runs done" in command("rehearse")
    assert bucket.calls() == {"ListObjectsV2": 1, "GetObject": 2 * COUNT}, "the jobs are another server's"
