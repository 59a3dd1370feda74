"""Raw files of torchvision's data sets in torchvision's own layout, with generated pictures."""

import bz2
import csv
import gzip
import json
import pickle

import numpy as np
from PIL import Image

RANDOM = np.random.default_rng(7)


def picture(path, size=(20, 16), seed=None):
    """A file of noise, of its own for each call."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = RANDOM if seed is None else np.random.default_rng(seed)
    Image.fromarray(random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(path)
    return path


def idx(path, array, packed=False):
    """A file of the kind that MNIST has, uint8 or int32."""
    kind = {"uint8": 8, "int32": 12}[array.dtype.name]
    shape = np.array(array.shape, dtype=">u4").tobytes()
    content = bytes([0, 0, kind, array.ndim]) + shape + array.astype(array.dtype.newbyteorder(">")).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if packed else content)


def noise(*shape):
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


def in_turn(count, classes):
    return (np.arange(count) % classes).astype(np.uint8)


def mnist(root, name, train="train-{}-ubyte", test="t10k-{}-ubyte", classes=10, first=0, packed=False):
    for pattern, count in ((train, 6 * classes), (test, 2 * classes)):
        suffix = ".gz" if packed else ""
        raw = root / name / "raw"
        idx(raw / (pattern.format("images-idx3") + suffix), noise(count, 28, 28), packed)
        idx(raw / (pattern.format("labels-idx1") + suffix), in_turn(count, classes) + np.uint8(first), packed)


def qmnist(root):
    for part, count in (("train", 60), ("test", 20)):
        idx(root / "QMNIST" / "raw" / f"qmnist-{part}-images-idx3-ubyte", noise(count, 28, 28))
        labels = np.zeros((count, 8), dtype=np.int32)
        labels[:, 0] = in_turn(count, 10)
        idx(root / "QMNIST" / "raw" / f"qmnist-{part}-labels-idx2-int", labels)


def usps(root):
    root.mkdir(parents=True, exist_ok=True)
    for name, count in (("usps.bz2", 40), ("usps.t.bz2", 20)):
        lines = (
            f"{label + 1} " + " ".join(f"{place + 1}:{value / 127.5 - 1:.4f}" for place, value in enumerate(noise(256)))
            for label in in_turn(count, 10)
        )
        (root / name).write_bytes(bz2.compress("\n".join(lines).encode()))


def cifar(root, coarse=False):
    folder = root / ("cifar-100-python" if coarse else "cifar-10-batches-py")
    folder.mkdir(parents=True)
    key, classes = ("fine_labels", 100) if coarse else ("labels", 10)
    files = (
        {"train": 400, "test": 200} if coarse else {**{f"data_batch_{i}": 20 for i in range(1, 6)}, "test_batch": 20}
    )
    for name, count in files.items():
        batch = {"data": noise(count, 3072), key: in_turn(count, classes).tolist()}
        (folder / name).write_bytes(pickle.dumps(batch))
    names = [f"thing {number}" for number in range(classes)]
    meta, label = ("meta", "fine_label_names") if coarse else ("batches.meta", "label_names")
    (folder / meta).write_bytes(pickle.dumps({label: names}))


def svhn(root):
    from scipy.io import savemat

    root.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", 60), ("test", 20)):
        labels = in_turn(count, 10)[:, None] + np.uint8(1)
        savemat(root / f"{part}_32x32.mat", {"X": noise(32, 32, 3, count), "y": labels})


def stl10(root):
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    for part, count in (("train", 40), ("test", 20), ("unlabeled", 3)):
        (folder / f"{part}_X.bin").write_bytes(noise(count, 3, 96, 96).tobytes())
        (folder / f"{part}_y.bin").write_bytes((in_turn(count, 10) + np.uint8(1)).tobytes())
    (folder / "class_names.txt").write_text("\n".join(f"thing {number}" for number in range(10)))
    (folder / "fold_indices.txt").write_text("")


def semeion(root):
    root.mkdir(parents=True, exist_ok=True)
    rows = [[*(noise(256) % 2), *np.eye(10, dtype=int)[label]] for label in in_turn(60, 10)]
    np.savetxt(root / "semeion.data", np.array(rows, dtype=float), fmt="%.4f")


def flowers(root):
    from scipy.io import savemat

    folder = root / "flowers-102"
    for number in range(1, 41):
        picture(folder / "jpg" / f"image_{number:05d}.jpg")
    savemat(folder / "imagelabels.mat", {"labels": in_turn(40, 4)[None].astype(int) + 1})
    ids = {"trnid": range(1, 21), "valid": range(21, 31), "tstid": range(31, 41)}
    savemat(folder / "setid.mat", {name: np.array([each]) for name, each in ids.items()})


def food(root):
    folder = root / "food-101"
    (folder / "meta").mkdir(parents=True)
    for part, numbers in (("train", range(8)), ("test", range(8, 11))):
        listed = {name: [f"{name}/{number}" for number in numbers] for name in ("apple_pie", "waffles")}
        (folder / "meta" / f"{part}.json").write_text(json.dumps(listed))
        for path in (each for names in listed.values() for each in names):
            picture(folder / "images" / f"{path}.jpg")


def pets(root):
    folder = root / "oxford-iiit-pet"
    (folder / "annotations").mkdir(parents=True)
    for part, numbers in (("trainval", range(8)), ("test", range(8, 11))):
        lines = []
        for label, name in enumerate(("Abyssinian", "great_pyrenees"), start=1):
            for number in numbers:
                picture(folder / "images" / f"{name}_{number}.jpg")
                lines.append(f"{name}_{number} {label} {label} 1")
        (folder / "annotations" / f"{part}.txt").write_text("\n".join(lines) + "\n")


def eurosat(root):
    for name in ("Forest", "River", "Highway"):
        for number in range(10):
            picture(root / "eurosat" / "2750" / name / f"{name}_{number}.jpg", size=(64, 64))


def gtsrb(root):
    folder = root / "gtsrb"
    for label in range(3):
        for number in range(8):
            picture(folder / "GTSRB" / "Training" / f"{label:05d}" / f"{number}.ppm")
    rows = [{"Filename": f"{number:05d}.ppm", "ClassId": number % 3} for number in range(9)]
    for row in rows:
        picture(folder / "GTSRB" / "Final_Test" / "Images" / row["Filename"])
    with (folder / "GT-final_test.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["Filename", "ClassId"], delimiter=";")
        writer.writeheader()
        writer.writerows(rows)


def dtd(root):
    folder = root / "dtd" / "dtd"
    (folder / "labels").mkdir(parents=True)
    for part, numbers in (("train", range(5)), ("val", range(5, 8)), ("test", range(8, 11))):
        names = [f"{name}/{name}_{number}.jpg" for name in ("banded", "dotted") for number in numbers]
        (folder / "labels" / f"{part}1.txt").write_text("\n".join(names) + "\n")
        for each in names:
            picture(folder / "images" / each)


def cars(root):
    from scipy.io import savemat

    folder = root / "stanford_cars"
    (folder / "devkit").mkdir(parents=True)
    places = {"train": folder / "devkit" / "cars_train_annos.mat", "test": folder / "cars_test_annos_withlabels.mat"}
    for part, path in places.items():
        kind = [("fname", object), ("class", int)]
        rows = np.array([(f"{number:05d}.jpg", number % 2 + 1) for number in range(8)], dtype=kind)
        savemat(path, {"annotations": rows})
        for name, _ in rows:
            picture(folder / f"cars_{part}" / name)
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": np.array(["AM General", "Acura RL"], dtype=object)})


def aircraft(root):
    folder = root / "fgvc-aircraft-2013b" / "data"
    folder.mkdir(parents=True)
    for level, many in (("variant", "variants"), ("family", "families"), ("manufacturer", "manufacturers")):
        (folder / f"{many}.txt").write_text(f"{level} A\n{level} B\n")
        number = 0
        for part, count in (("train", 10), ("val", 4), ("test", 6)):
            lines = []
            for index in range(count):
                number += 1
                if level == "variant":
                    picture(folder / "images" / f"{number:07d}.jpg")
                lines.append(f"{number:07d} {level} {'AB'[index % 2]}")
            (folder / f"images_{level}_{part}.txt").write_text("\n".join(lines) + "\n")


def country211(root):
    for part, count in (("train", 5), ("valid", 3), ("test", 3)):
        for name in ("AD", "ZW"):
            for number in range(count):
                picture(root / "country211" / part / name / f"{number}.jpg")


def sst2(root):
    for part in ("train", "valid", "test"):
        for name in ("negative", "positive"):
            for number in range(4):
                picture(root / "rendered-sst2" / part / name / f"{number}.png")


def imagenette(root, folder="imagenette2"):
    for part, count in (("train", 5), ("val", 3)):
        for name in ("n01440764", "n02102040"):
            for number in range(count):
                # As the real files are called.
                picture(root / folder / part / name / f"{name}_{number}.jpeg").rename(
                    root / folder / part / name / f"{name}_{number}.JPEG"
                )


def imagenet(root, kit):
    import torch

    for part, count in (("train", 5), ("val", 3)):
        for name in ("n01518878", "n01440764", "n02012849", "n03126707"):
            for number in range(count):
                path = picture(root / part / name / f"{name}_{number}.jpeg")
                path.rename(path.with_suffix(".JPEG"))
    names = {"n01440764": ("tench", "Tinca tinca"), "n01518878": ("ostrich",)}
    names |= {"n02012849": ("crane", "bird"), "n03126707": ("crane", "machine")}
    if kit:
        torch.save((names, []), root / "meta.bin")


def sun397(root):
    folder = root / "SUN397"
    for name in ("a/abbey", "b/bar/indoor"):
        for number in range(8):
            picture(folder / name / f"sun_{number}.jpg")
    (folder / "ClassName.txt").write_text("/a/abbey\n/b/bar/indoor\n")


def caltech101(root):
    for name in ("BACKGROUND_Google", "Faces", "anchor"):
        for number in range(1, 9):
            picture(root / "caltech101" / "101_ObjectCategories" / name / f"image_{number:04d}.jpg")


def caltech256(root):
    for label, name in enumerate(("001.ak47", "002.american-flag"), start=1):
        for number in range(1, 9):
            picture(root / "caltech256" / "256_ObjectCategories" / name / f"{label:03d}_{number:04d}.jpg")


def places365(root):
    root.mkdir(parents=True, exist_ok=True)
    (root / "categories_places365.txt").write_text("/a/airfield 0\n/b/bar 1\n")
    for part, folder, count in (("train_standard", "data_256_standard", 8), ("val", "val_256", 4)):
        lines = []
        for number in range(count):
            label = number % 2
            name = f"/{'ab'[label]}/{number:08d}.jpg" if part == "train_standard" else f"{number:08d}.jpg"
            picture(root / folder / name.lstrip("/"))
            lines.append(f"{name} {label}")
        (root / f"places365_{part}.txt").write_text("\n".join(lines) + "\n")


def pcam(root):
    import h5py

    for part, count in (("train", 40), ("valid", 10), ("test", 10)):
        path = root / "pcam" / f"camelyonpatch_level_2_split_{part}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(f"{path}_x.h5", "w") as file:
            file["x"] = noise(count, 96, 96, 3)
        with h5py.File(f"{path}_y.h5", "w") as file:
            file["y"] = in_turn(count, 2)[:, None, None, None]
