"""Ray is an extra: what needs it is skipped where it is missing; how calls are handed to it is tried on a stand-in too."""

import os
import signal
import socket
import subprocess
import sys
import time
from types import ModuleType, SimpleNamespace

import pytest

from phalanx.core.errors import InputError
from phalanx.synth import SynthConfig
from phalanx.synth.sets.cluster import Cluster, connect
from phalanx.synth.sets.sets import Plan, make_set, verify_set

SMALL = Plan(SynthConfig(size=16, chunk=1, tiles=2, skins=1), 5, 150)  # five shards, the last of 22 pictures


class Ray:
    """As much of Ray as `Cluster` knows: calls are made when they are waited for, the last first."""

    class exceptions:
        class RayError(Exception):
            pass

        class RayTaskError(RayError):
            def __init__(self, cause):
                super().__init__(f"Traceback\n...\n{cause}")
                self.cause = cause

    def __init__(self, processors=2):
        self.processors, self.under_way, self.most, self.options = processors, {}, 0, None

    def cluster_resources(self):
        return {"CPU": float(self.processors)} if self.processors else {}

    def remote(self, **options):
        self.options = options

        def begin(*arguments):
            reference = object()
            self.under_way[reference] = arguments
            self.most = max(self.most, len(self.under_way))
            return reference

        return lambda function: SimpleNamespace(remote=lambda *arguments: begin(function, *arguments))

    def wait(self, references, num_returns):
        assert set(references) == set(self.under_way) and num_returns == 1
        return references[-1:], references[:-1]

    def get(self, reference):
        function, *arguments = self.under_way.pop(reference)
        try:
            return function(*arguments)
        except self.exceptions.RayError:
            raise
        except Exception as error:
            raise self.exceptions.RayTaskError(error) from None


def test_every_item_comes_back_once_and_few_are_under_way():
    ray = Ray(processors=3)
    results = list(Cluster(ray).map(lambda item: item * item, range(20)))
    assert sorted(results) == [(i, i * i) for i in range(20)] and results != sorted(results)
    assert ray.most == 6 and ray.options == {"num_cpus": 1, "max_retries": 3}
    assert list(Cluster(ray).map(abs, [])) == []


def test_a_cluster_that_grows_is_used():
    ray = Ray(processors=0)
    results = Cluster(ray).map(abs, range(40))
    next(results)
    assert ray.most == 2
    ray.processors = 8
    next(results)
    assert ray.most == 16


def test_failures_become_one_sentence():
    def fail(error):
        raise error

    with pytest.raises(InputError, match="^machine 3: no photographs$"):
        list(Cluster(Ray()).map(fail, [InputError("machine 3: no photographs")]))
    with pytest.raises(RuntimeError, match="^a call on the Ray cluster failed: ZeroDivisionError: by 0$"):
        list(Cluster(Ray()).map(fail, [ZeroDivisionError("by 0\nat all")]))
    with pytest.raises(RuntimeError, match="^the Ray cluster lost a call, in spite of trying again: RayError: dead$"):
        list(Cluster(Ray()).map(fail, [Ray.exceptions.RayError("dead\nlogs")]))


def test_an_address_where_nothing_answers_is_said_at_once():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for name in (address, f"ray://{address}"):
            with (
                pytest.raises(InputError, match=f"^ray: nothing answers at {name}: connection refused$"),
                connect(name),
            ):
                pass


def test_a_folder_called_ray_is_not_taken_for_it(monkeypatch):
    folder = ModuleType("ray")
    folder.__path__ = []  # what importing a folder without modules gives
    monkeypatch.setitem(sys.modules, "ray", folder)
    monkeypatch.delitem(sys.modules, "ray.exceptions", raising=False)
    with pytest.raises(InputError, match="ray: is not installed here"), connect("local"):
        pass


@pytest.fixture(scope="module")
def address():
    """A cluster of two machines with one processor each, which are processes of this one."""
    pytest.importorskip("ray.exceptions", reason="Ray is not installed")
    from ray.cluster_utils import Cluster as Machines

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        machines = Machines(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        try:
            machines.add_node(num_cpus=1)
            yield machines.address
        finally:
            machines.shutdown()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The set as one process makes it: content by file name."""
    folder = tmp_path_factory.mktemp("whole")
    make_set(SMALL, folder, say=lambda line: None)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class TestRay:
    def test_two_machines_make_the_same_bytes(self, address, whole, tmp_path):
        lines, steps = [], []
        make_set(SMALL, tmp_path, 7, lines.append, lambda *step: steps.append(step), ray=address)
        assert content(tmp_path) == whole
        assert "150 of 150 pictures to make" in lines[0] and "with 2 workers" in lines[0]
        assert len(steps) == 5 and steps[-1] == (150, 150)

    def test_killed_and_started_again_it_is_whole(self, address, whole, tmp_path):
        """The process that writes the set is killed (SIGKILL); the cluster lives on and makes the rest for another."""
        folder = tmp_path / "set"
        code = (
            "import sys; from phalanx.synth import SynthConfig; from phalanx.synth.sets.sets import Plan, make_set\n"
            f"make_set(Plan(SynthConfig(size=16, chunk=1, tiles=2, skins=1), 5, 150), sys.argv[1], ray={address!r})"
        )
        process = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.DEVNULL)
        while not list(folder.glob("shard_*.tar")):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert len(list(folder.glob("shard_*.tar"))) < 5
        make_set(SMALL, folder, say=lambda line: None, ray=address)
        assert content(folder) == whole and verify_set(folder) == 150

    def test_a_call_whose_process_dies_is_made_again(self, address, tmp_path):
        def fragile(name):
            path = tmp_path / name
            path.write_bytes(path.read_bytes() + b"." if path.exists() else b".")
            if name == "cursed" or (name == "unlucky" and path.stat().st_size == 1):
                os._exit(1)
            return path.stat().st_size

        with connect(address) as cluster:
            assert dict(cluster.map(fragile, ["lucky", "unlucky"])) == {"lucky": 1, "unlucky": 2}
            with pytest.raises(
                RuntimeError, match="^the Ray cluster lost a call, in spite of trying again: [^\n]*died"
            ):
                list(cluster.map(fragile, ["cursed"]))
        assert (tmp_path / "cursed").stat().st_size == 4  # once and three times again

    def test_a_fault_of_the_input_on_another_machine_is_one_sentence(self, address):
        def fault(name):
            raise InputError(f"machine x: {name}: no such folder")

        with connect(address) as cluster, pytest.raises(InputError, match="^machine x: photographs: no such folder$"):
            list(cluster.map(fault, ["photographs"]))

    def test_a_ray_of_ones_own_on_this_machine(self, address, whole, tmp_path):
        make_set(SMALL, tmp_path, 2, lambda line: None, ray="local")
        assert content(tmp_path) == whole

    def test_one_connection_at_a_time(self, address):
        with connect(address), pytest.raises(InputError, match="connected to a cluster already"), connect(address):
            pass
