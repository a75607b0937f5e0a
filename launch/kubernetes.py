"""Kubernetes: a JobSet (jobset.x-k8s.io/v1alpha2) for each run, one pod a process.

The pods of a JobSet know one another by name, so that process 0 is the coordinator. A pod that
leaves with 75 has saved: the set is started again, and not counted as failed.
"""

import json
import re
import subprocess
from typing import Any, NamedTuple

from launch.job import Job, Run
from library.config import ConfigError
from library.parallel import processes

API = "jobset.x-k8s.io/v1alpha2"
PORT = 8476
_INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"


class Options(NamedTuple):
    """What is asked of Kubernetes.

    Attributes:
      image: of the container.
      nodes: pods of each run.
      gpus_per_node: GPUs of each pod, all of one process.
      claim: a persistent volume claim, mounted at /runs; without one runs end with their pod.
      namespace: of the set.
      restarts: of a failed set.
    """

    image: str
    nodes: int = 1
    gpus_per_node: int = 0
    claim: str | None = None
    namespace: str = "default"
    restarts: int = 3


def manifests(job: Job, options: Options) -> list[dict[str, Any]]:
    """Returns one JobSet a run.

    Raises:
      ConfigError: no image is named.
    """
    if not options.image:
        raise ConfigError("--on=kubernetes needs --image")
    return [_jobset(_name(job.name, i, job.runs), run, options) for i, run in enumerate(job.runs)]


def written(found: list[dict[str, Any]]) -> str:
    """Returns manifests as kubectl reads them: JSON, of several a list."""
    whole = found[0] if len(found) == 1 else {"apiVersion": "v1", "kind": "List", "items": found}
    return json.dumps(whole, indent=2) + "\n"


def submit(text: str) -> str:
    """Hands manifests to kubectl, and returns what it says.

    Raises:
      ConfigError: there is no kubectl here, or it refuses them, with its reason.
    """
    command = ["kubectl", "apply", "-f", "-"]
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True)
    except FileNotFoundError:
        raise ConfigError(
            "there is no kubectl here: --dry_run prints what it would be given"
        ) from None
    if done.returncode:
        raise ConfigError(f"kubectl refused the job: {done.stderr.strip()}")
    return done.stdout


def _jobset(name: str, run: Run, options: Options) -> dict[str, Any]:
    pods = options.nodes
    variables = [
        {"name": processes.COORDINATOR, "value": f"{name}-workers-0-0.{name}:{PORT}"},
        {"name": processes.COUNT, "value": str(pods)},
        {"name": processes.PLACE, "valueFrom": {"fieldRef": {"fieldPath": _INDEX}}},
    ]
    container: dict[str, Any] = {
        "name": "worker",
        "image": options.image,
        "command": list(run.command),
        "env": variables if pods > 1 else [],
        "ports": [{"containerPort": PORT}],
    }
    if options.gpus_per_node:
        container["resources"] = {"limits": {"nvidia.com/gpu": options.gpus_per_node}}
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 120,
        "containers": [container],
    }
    if options.claim:
        container["volumeMounts"] = [{"name": "runs", "mountPath": "/runs"}]
        pod["volumes"] = [{"name": "runs", "persistentVolumeClaim": {"claimName": options.claim}}]
    stopped = {"containerName": "worker", "operator": "In", "values": [processes.STOPPED]}
    batch = {
        "completionMode": "Indexed",
        "parallelism": pods,
        "completions": pods,
        "backoffLimit": 0,
        # Names the reason of a job that was stopped, for the set's rule below.
        "podFailurePolicy": {
            "rules": [{"action": "FailJob", "onExitCodes": stopped}],
        },
        "template": {"spec": pod},
    }
    rule = {
        "name": "stopped",
        "action": "RestartJobSetAndIgnoreMaxRestarts",
        "onJobFailureReasons": ["PodFailurePolicy"],
    }
    return {
        "apiVersion": API,
        "kind": "JobSet",
        "metadata": {"name": name, "namespace": options.namespace},
        "spec": {
            "failurePolicy": {"maxRestarts": options.restarts, "rules": [rule]},
            "replicatedJobs": [{"name": "workers", "replicas": 1, "template": {"spec": batch}}],
        },
    }


def _name(job: str, place: int, runs: tuple[Run, ...]) -> str:
    """Returns a DNS label: lower-case letters, digits and "-", so short that pods' names fit."""
    base = re.sub(r"[^a-z0-9]+", "-", job.lower()).strip("-")[:40] or "run"
    return f"{base}-{place}" if len(runs) > 1 else base
