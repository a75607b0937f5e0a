"""What the environment says of the processes of a run."""

import jax
import pytest
from jax._src import distributed

from library.config import ConfigError
from library.parallel import processes

THREE = {
    processes.COORDINATOR: "localhost:1234",
    processes.COUNT: "4",
    processes.PLACE: "3",
}


def test_three_variables_say_who_belongs_together():
    assert processes._arguments(THREE) == {
        "coordinator_address": "localhost:1234",
        "num_processes": 4,
        "process_id": 3,
    }


def test_a_scheduler_is_asked_by_name():
    found = processes._arguments({processes.CLUSTER: "slurm"})
    assert found == {"cluster_detection_method": "slurm"}


def test_alone_there_is_nobody_to_join():
    assert processes._arguments({}) is None
    assert processes.connect({}) is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({processes.PLACE: "4"}, "COMPENDIUM_PROCESS=4: valid are 0 to 3"),
        ({processes.PLACE: ""}, "COMPENDIUM_PROCESS: not set, but other variables"),
        ({processes.COUNT: "two"}, "COMPENDIUM_PROCESSES='two' is not a whole number"),
        ({processes.CLUSTER: "lsf"}, "COMPENDIUM_CLUSTER='lsf': valid are slurm, cloud_tpu"),
    ],
)
def test_what_is_not_understood_is_refused(changed, message):
    with pytest.raises(ConfigError, match=message):
        processes.connect({**THREE, **changed})


def test_the_service_goes_on_for_a_while_after_all_have_left(monkeypatch):
    """JAX's own order: first the client leaves, with all others, then the service ends."""
    done = []

    class Part:
        def __init__(self, name):
            self.name = name

        def shutdown(self):
            done.append(self.name)

    state = distributed.State()
    state.client, state.service = Part("client"), Part("service")
    monkeypatch.setattr(distributed, "global_state", state)
    monkeypatch.setattr(processes.time, "sleep", done.append)
    processes._linger(2)
    state.shutdown()
    assert done == ["client", 2, "service"]


def test_who_ends_early_takes_leave_of_the_others(monkeypatch):
    left = []
    monkeypatch.setattr(jax.distributed, "shutdown", lambda: left.append("left"))
    processes.leave()
    assert left == []
    monkeypatch.setattr(processes, "_joined", lambda: True)
    processes.leave()
    assert left == ["left"]
