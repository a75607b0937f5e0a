"""The jobs that each scheduler would get."""

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest

from launch import kubernetes, local, slurm, tpu
from launch.job import Job, Run
from library.config import ConfigError

ONE = Job("job", (Run("", ("python", "-m", "experiments.train", "--config.a=b c")),), 2)
SWEPT = Job("job", tuple(Run(f"seed={i}", ("python", f"--config.seed={i}")) for i in (0, 1)), 1)


def test_local_shows_each_process_with_what_tells_it_its_place():
    lines = local.preview(ONE).splitlines()
    assert len(lines) == 2
    assert "COMPENDIUM_PROCESSES=2 COMPENDIUM_PROCESS=1" in lines[1]
    assert lines[1].endswith("python -m experiments.train '--config.a=b c'")
    assert local.preview(SWEPT).splitlines() == ["python --config.seed=0", "python --config.seed=1"]


def test_slurm_script_of_one_run():
    options = slurm.Options(nodes=2, gpus_per_node=8, time="1-00:00:00", directives=("account=a",))
    script = slurm.script(ONE, options, folder="/code", logs="runs/slurm")
    lines = script.splitlines()
    for line in ("nodes=2", "ntasks-per-node=8", "gpus-per-node=8", "time=1-00:00:00", "requeue"):
        assert f"#SBATCH --{line}" in lines
    assert "#SBATCH --account=a" in lines
    assert "#SBATCH --signal=TERM@120" in lines
    assert "export COMPENDIUM_CLUSTER=slurm" in lines
    assert any(line.endswith("experiments.train '--config.a=b c'") for line in lines)
    assert "CPUS_PER_TASK" not in script
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_slurm_gives_each_process_its_cores():
    script = slurm.script(ONE, slurm.Options(cpus_per_process=12), folder=".", logs="logs")
    lines = script.splitlines()
    assert "#SBATCH --cpus-per-task=12" in lines
    said = lines.index("export SRUN_CPUS_PER_TASK=12")
    assert said < next(i for i, line in enumerate(lines) if line.startswith("srun"))


def test_slurm_makes_an_array_of_a_sweep():
    script = slurm.script(SWEPT, slurm.Options(at_once=1), folder=".", logs="logs")
    assert "#SBATCH --array=0-1%1\n" in script
    assert "COMPENDIUM_CLUSTER" not in script
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize("code", [0, 1, 75])
def test_slurm_puts_back_what_was_stopped(tmp_path, code):
    script = slurm.script(ONE, slurm.Options(), folder=str(tmp_path), logs="logs")
    for name, line in (("srun", f"exit {code}"), ("scontrol", f'echo "$@" > {tmp_path}/asked')):
        (tmp_path / name).write_text(f"#!/bin/bash\n{line}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_ID": "7"}
    done = subprocess.run(["bash"], input=script, text=True, env=environment)
    assert done.returncode == (0 if code == 75 else code)
    asked = tmp_path / "asked"
    assert (asked.read_text() if asked.exists() else "") == ("requeue 7\n" if code == 75 else "")


def test_slurm_refuses_a_time_it_does_not_read():
    with pytest.raises(ConfigError, match="'1 day'"):
        slurm.script(ONE, slurm.Options(time="1 day"), folder=".", logs="logs")


def test_a_jobset_names_its_coordinator():
    (made,) = kubernetes.manifests(ONE, kubernetes.Options("image", nodes=2, gpus_per_node=8))
    (workers,) = made["spec"]["replicatedJobs"]
    batch = workers["template"]["spec"]
    assert batch["parallelism"] == batch["completions"] == 2
    (container,) = batch["template"]["spec"]["containers"]
    values = {each["name"]: each.get("value") for each in container["env"]}
    # Pods are NAME-JOB-REPLICA-POD, in the subdomain of the set.
    assert values["COMPENDIUM_COORDINATOR"] == "job-workers-0-0.job:8476"
    assert values["COMPENDIUM_PROCESSES"] == "2"
    assert container["resources"] == {"limits": {"nvidia.com/gpu": 8}}
    assert container["command"][-1] == "--config.a=b c"


def test_a_sweep_is_a_list_of_jobsets():
    listed = json.loads(
        kubernetes.written(kubernetes.manifests(SWEPT, kubernetes.Options("image")))
    )
    assert [item["metadata"]["name"] for item in listed["items"]] == ["job-0", "job-1"]


SCHEMA = json.loads((Path(__file__).parent / "jobset.json").read_text())


@pytest.mark.parametrize("job", [ONE, SWEPT])
@pytest.mark.parametrize(
    "options", [dict(), dict(nodes=4, gpus_per_node=8, claim="data", namespace="lab", restarts=0)]
)
def test_every_set_is_of_the_published_schema(job, options):
    for each in kubernetes.manifests(job, kubernetes.Options("registry/image:1", **options)):
        jsonschema.validate(each, SCHEMA)


def test_the_schema_refuses_what_is_misspelt():
    (made,) = kubernetes.manifests(ONE, kubernetes.Options("image"))
    made["spec"]["replicatedJob"] = made["spec"].pop("replicatedJobs")
    with pytest.raises(jsonschema.ValidationError, match="replicatedJob"):
        jsonschema.validate(made, SCHEMA)


def test_kubernetes_needs_an_image():
    with pytest.raises(ConfigError, match="needs --image"):
        kubernetes.manifests(ONE, kubernetes.Options(""))


TPU = tpu.Options("v5litepod-16", "us-central1-a", "v2-alpha-tpuv5-lite", spot=True, setup="make")


def test_a_slice_is_asked_for_and_then_used():
    (made,) = tpu.slices(ONE, TPU)
    assert "--accelerator-type=v5litepod-16" in made.create
    assert "--spot" in made.create
    (told,) = [part for part in made.program if part.startswith("--command=")]
    assert told.startswith("--command=cd compendium && make && COMPENDIUM_CLUSTER=cloud_tpu python")
    assert len(tpu.preview(tpu.slices(SWEPT, TPU)).splitlines()) == 4


GCLOUD = """#!/bin/bash
echo "$4" >> {folder}/asked
case "$4" in
  describe) [ -f {folder}/state ] || {{ echo NOT_FOUND >&2; exit 1; }}; cat {folder}/state ;;
  create) echo ACTIVE > {folder}/state ;;
  delete) rm {folder}/state ;;
esac
"""


@pytest.mark.parametrize(
    ("before", "asked"),
    [
        (None, ["describe", "describe", "create", "describe", "ssh", "delete"]),
        ("ACTIVE", ["describe", "describe", "ssh", "delete"]),
        (
            "SUSPENDED",
            ["describe", "describe", "delete", "create", "describe", "ssh", "delete"],
        ),
    ],
)
def test_a_slice_that_was_taken_away_is_asked_for_again(tmp_path, monkeypatch, before, asked):
    program = tmp_path / "gcloud"
    program.write_text(GCLOUD.format(folder=tmp_path))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    if before:
        (tmp_path / "state").write_text(before)
    assert tpu.run(tpu.slices(ONE, TPU), every=0) == 0
    found = [w if w != "job" else "ssh" for w in (tmp_path / "asked").read_text().split()]
    assert found == [*asked]


def test_tpu_names_what_is_missing():
    with pytest.raises(ConfigError, match="needs --zone"):
        tpu.slices(ONE, tpu.Options("v5e", "", "x"))


@pytest.mark.parametrize(
    ("scripts", "code", "reason"),
    [
        (("exit 0", "exit 0"), 0, ""),
        (("exit 75", "sleep 0.2; exit 75"), 75, "stopped and saved"),
        # What fails after another has stopped is not taken for stopped.
        (("exit 75", "sleep 0.2; exit 1"), 1, "process 1 of 2 failed (exit code 1)"),
        (("exit 1", "kill -KILL $$"), 137, "process 1 of 2 failed (killed by SIGKILL)"),
        (("kill -ABRT $$", "kill -KILL $$"), 137, "process 1 of 2 failed (killed by SIGKILL)"),
    ],
)
def test_a_run_ends_as_its_processes_do(scripts, code, reason):
    own = [subprocess.Popen(["sh", "-c", script]) for script in scripts]
    if code == 137:
        for process in own:
            process.wait()
    ended = local._wait(own, "")
    assert ended.code == code
    assert reason in ended.reason
