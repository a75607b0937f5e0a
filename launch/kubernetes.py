"""Kubernetes: a JobSet (jobset.x-k8s.io/v1alpha2) for each run, one pod for each process.

The pods of a JobSet know each other by name, so process 0 is the coordinator. A pod that exits with
75 has saved. The set then starts again, and does not count as failed.
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
    """The request to Kubernetes.

    Attributes:
      image: the image of the container.
      nodes: the pods of each run.
      gpus_per_node: the GPUs of each pod; one process uses all of them.
      claim: a persistent volume claim, mounted at /runs; without it a workdir ends with its pod.
      namespace: the namespace of the set.
      restarts: how often a failed set starts again.
    """

    image: str
    nodes: int = 1
    gpus_per_node: int = 0
    claim: str | None = None
    namespace: str = "default"
    restarts: int = 3


def manifests(job: Job, options: Options) -> list[dict[str, Any]]:
    """Returns one JobSet for each run.

    Raises:
      ConfigError: no image is named.
    """
    if not options.image:
        raise ConfigError("--on=kubernetes needs --image")
    return [_jobset(_name(job.name, i, job.runs), run, options) for i, run in enumerate(job.runs)]


def written(found: list[dict[str, Any]]) -> str:
    """Returns manifests as JSON for kubectl; several become a list."""
    whole = found[0] if len(found) == 1 else {"apiVersion": "v1", "kind": "List", "items": found}
    return json.dumps(whole, indent=2) + "\n"


def submit(text: str) -> str:
    """Submits manifests with kubectl, and returns its output.

    Raises:
      ConfigError: there is no kubectl here, or it refuses them, with its reason.
    """
    command = ["kubectl", "apply", "-f", "-"]
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True)
    except FileNotFoundError:
        raise ConfigError(
            "there is no kubectl here: --dry_run prints what kubectl would get"
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
        # The set's rule below needs this reason for a job that was stopped.
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
    """Returns a DNS label of lower-case letters, digits and "-", short enough for pods' names."""
    base = re.sub(r"[^a-z0-9]+", "-", job.lower()).strip("-")[:40] or "run"
    return f"{base}-{place}" if len(runs) > 1 else base
