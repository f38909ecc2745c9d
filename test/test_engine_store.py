"""The store of built engines: nothing stale, nothing half, nothing damaged is ever taken."""

import json
from dataclasses import replace

import pytest
import torch
from conftest import SMALL, lively

from instance_depth_ros.cli import main
from instance_depth_ros.engines import store
from instance_depth_ros.model import checkpoint

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def empty_store(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "instance_depth_ros" / "engines"


def key(network=None, **changes) -> dict:
    own = {"engine": "onnx", "precision": "fp32", "height": 64, "width": 96, "instances": True}
    return {**store.origin(network or lively(), CPU), **own, **changes}


def write(folder):
    (folder / "graph").write_bytes(b"0123456789")
    return {"note": 1}


def test_what_was_put_is_found_again_with_what_it_says(empty_store):
    put = store.put(key(), write)
    found = store.find(key())
    assert found == put and found.says["note"] == 1 and (found.path / "graph").read_bytes() == b"0123456789"
    assert found.path.parent == empty_store and [path.name for path in empty_store.iterdir()] == [found.path.name]


@pytest.mark.parametrize("changed", ["precision", "height", "width", "instances", "engine"])
def test_another_engine_is_not_taken_for_it(changed):
    other = {"precision": "bf16", "height": 32, "width": 32, "instances": False, "engine": "compiled"}
    store.put(key(), write)
    assert store.find(key(**{changed: other[changed]})) is None


def test_one_changed_value_of_the_weights_or_their_config_is_another_network():
    changed, before = lively(), lively()
    with torch.no_grad():
        changed.head.scratch.output_conv2[0].bias[3] += 1e-6
    store.put(key(), write)
    assert store.find(key(before)) and store.find(key(changed)) is None
    before.config = replace(SMALL, candidate_score=0.51)
    assert store.find(key(before)) is None


@pytest.mark.parametrize("thing", ["_version", "_machine", "_code"])
def test_another_version_machine_or_code_is_another_engine(monkeypatch, thing):
    store.put(key(), write)
    monkeypatch.setattr(store, thing, lambda *_: "another")
    assert store.find(key()) is None
    monkeypatch.undo()


@pytest.mark.parametrize("thing, stays", [("_version", False), ("_code", False), ("_machine", True)])
def test_an_update_leaves_no_engine_behind_that_nothing_finds(monkeypatch, thing, stays):
    before, size = store.put(key(), write), store.put(key(height=32), write)
    monkeypatch.setattr(store, thing, lambda *_: "another")
    after = store.put(key(), write)
    assert before.path.exists() == stays
    assert size.path.exists() and after == store.find(key())  # of another size: still to be made


def test_weights_from_a_file_are_the_same_at_each_start(lively_weights):
    first, second = (checkpoint.load(str(lively_weights))[0] for _ in range(2))
    store.put(key(first), write)
    assert store.find(key(second))


def test_every_file_that_makes_the_graph_counts(monkeypatch, tmp_path):
    for path in ("model/network.py", "engines/onnx.py", "estimator.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("x = 1\n")
    monkeypatch.setattr(store, "PACKAGE", tmp_path)
    first = store._code()
    (tmp_path / "estimator.py").write_text("x = 2\n")
    assert store._code() == first
    (tmp_path / "model/network.py").write_text("x = 2\n")
    assert store._code() != first


@pytest.mark.parametrize("damage", ["file", "manifest", "missing", "moved"])
def test_a_damaged_entry_is_taken_away_with_one_line(damage, caplog):
    entry = store.put(key(), write)
    if damage == "file":
        (entry.path / "graph").write_bytes(b"0123456780")
    elif damage == "manifest":
        (entry.path / store.MANIFEST).write_text("{")
    elif damage == "missing":
        (entry.path / "graph").unlink()
    else:
        manifest = json.loads((entry.path / store.MANIFEST).read_text())
        manifest["key"]["weights"] = "others"
        (entry.path / store.MANIFEST).write_text(json.dumps(manifest))
    assert store.find(key()) is None and not entry.path.exists()
    assert len(caplog.records) == 1 and "is damaged" in caplog.text
    assert store.put(key(), write) == store.find(key())


def test_a_build_that_fails_leaves_nothing(empty_store):
    def broken(folder):
        write(folder)
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        store.put(key(), broken)
    assert store.find(key()) is None and not list(empty_store.iterdir())


def test_of_two_builds_at_once_the_first_stays():
    def slower(folder):
        store.put(key(), write)
        (folder / "graph").write_bytes(b"later")
        return {}

    store.put(key(), slower)
    assert (store.find(key()).path / "graph").read_bytes() == b"0123456789"


def test_the_command_lists_and_clears(capsys, empty_store):
    store.put(key(), write)
    store.put(key(engine="auto"), {"engine": "onnx", "ms": {}, "refused": {}})
    (empty_store / "onnx-stray").mkdir()
    assert main(["engine", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "onnx  tiny  fp32  96 x 64  with instances" in lines[1] and "takes onnx" in lines[0]
    assert lines[-1] == f"2 in {empty_store}"
    assert main(["engine", "clear"]) == 0 and "MB taken away" in capsys.readouterr().out
    assert main(["engine", "list"]) == 0 and capsys.readouterr().out == f"0 in {empty_store}\n"


@pytest.mark.parametrize(
    "wrong, status, said",
    [
        (["--engine", "eager"], 1, "needs no building"),
        (["--engine", "fastest"], 2, "engine must be one of"),
        (["--instances", "topic", "--engine", "onnx"], 1, "come from elsewhere"),
        (["--weights", "/nowhere.pth", "--engine", "onnx"], 1, "/nowhere.pth"),
    ],
)
def test_what_cannot_be_built_is_said(wrong, status, said, capsys):
    try:
        assert main(["engine", "build", *wrong]) == status
    except SystemExit as error:
        assert error.code == status
    assert said in capsys.readouterr().err
