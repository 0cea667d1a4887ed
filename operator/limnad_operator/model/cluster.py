"""A `LimnadCluster`: workers, and what they share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from limnad_operator.model.base import Duration, Model, Opaque, OpaqueList, Quantity, Reference, SecretKey
from limnad_operator.model.conditions import Condition

Port = Annotated[int, Field(ge=1, le=65535)]


def rule(expression: str, message: str) -> dict[str, Any]:
    """A CEL rule of a schema."""
    return {"x-kubernetes-validations": [{"rule": expression, "message": message}]}


class PodTemplate(Model):
    """What is added to a worker's pod."""

    labels: dict[str, str] | None = Field(None, description="Labels; those of the operator win.")
    annotations: dict[str, str] | None = Field(None, description="Annotations.")
    node_selector: dict[str, str] | None = Field(None, description="See Pod.")
    tolerations: OpaqueList | None = Field(None, description="See Pod.")
    affinity: Opaque | None = Field(None, description="See Pod; by default workers avoid each other's nodes.")
    topology_spread_constraints: OpaqueList | None = Field(None, description="See Pod; by default over zones.")
    priority_class_name: str | None = Field(None, description="See Pod.")
    termination_grace_period_seconds: int | None = Field(
        None,
        ge=10,
        le=3600,
        description="From SIGTERM to SIGKILL; the time for last checkpoints is 10 s less. Default: 60.",
    )
    env: OpaqueList | None = Field(None, description="Variables of the worker's container.")
    volumes: OpaqueList | None = Field(None, description="See Pod.")
    volume_mounts: OpaqueList | None = Field(None, description="See Container.")
    init_containers: OpaqueList | None = Field(None, description="See Pod.")
    containers: OpaqueList | None = Field(None, description="Containers beside the worker's.")


class Workers(Model):
    """The worker pods."""

    replicas: int = Field(3, ge=1, le=256, description="How many pods. To pause, suspend the jobs.")
    slots: int = Field(1, ge=1, le=256, description="How many workers of one job a pod is made for.")
    resources: Opaque | None = Field(None, description="Requests and limits of a pod, as a container has them.")
    engine_memory: Quantity | None = Field(
        None, description="How much memory an engine may take beyond what it needs to start; default: no limit."
    )
    template: PodTemplate = Field(default_factory=PodTemplate, description="What is added to the pods.")


class CoordinatorMode(StrEnum):
    """How jobs that do not say it gather their progress updates."""

    GLOBAL = "Global"
    LOCAL_GLOBAL = "LocalGlobal"


class Coordinator(Model):
    """Sums progress updates of jobs: pays from about four workers on."""

    enabled: bool = Field(False, description="Whether there is one.")
    mode: CoordinatorMode = Field(
        CoordinatorMode.LOCAL_GLOBAL,
        description="Whether workers accumulate before it does (LocalGlobal) or not (Global).",
    )
    resources: Opaque | None = Field(None, description="Requests and limits, as a container has them.")


class OnDeletion(StrEnum):
    """What becomes of state when its object is deleted."""

    RETAIN = "Retain"
    DELETE = "Delete"


class Store(Model):
    """Where jobs, archives and checkpoints are kept."""

    secret_ref: SecretKey = Field(description="Where the store's URL lies, such as redis://:PASSWORD@HOST:6379/0.")
    on_deletion: OnDeletion = Field(
        OnDeletion.RETAIN, description="Whether jobs' state is deleted with the cluster (Delete) or stays (Retain)."
    )


class Checkpointing(Model):
    """How often checkpoints are made of jobs that are objects."""

    interval: Duration = Field("10s", description="From one to the next.")
    timeout: Duration = Field("10m", description="After which one is given up.")
    keep: int = Field(3, ge=1, le=1000, description="How many are kept.")


class TlsMode(StrEnum):
    """Where certificates come from."""

    SELF_SIGNED = "SelfSigned"
    SECRET = "Secret"  # noqa: S105 - a kind of object
    DISABLED = "Disabled"


class Tls(Model):
    """Encryption and mutual authentication of all that the cluster's processes and clients say to each other."""

    mode: TlsMode = Field(
        TlsMode.SELF_SIGNED,
        description="SelfSigned: the operator makes and renews certificates. Secret: it is given them. Disabled: none.",
    )
    secret_ref: Reference | None = Field(
        None, description="A Secret with tls.crt, tls.key and ca.crt, such as cert-manager makes."
    )
    domain: str = Field(
        "limnad.internal",
        pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
        max_length=128,
        description="What stands behind the role in certificates, such as leader.limnad.internal.",
    )


class TokensMode(StrEnum):
    """Where clients' tokens come from."""

    GENERATED = "Generated"
    SECRET = "Secret"  # noqa: S105 - a kind of object
    DISABLED = "Disabled"


class Tokens(Model):
    """What clients have to show."""

    mode: TokensMode = Field(
        TokensMode.GENERATED,
        description="Generated: one that the operator makes, in the Secret <cluster>-token. Secret: those of "
        "secretRef. Disabled: nothing.",
    )
    secret_ref: SecretKey | None = Field(None, description="Where the tokens lie, one on each line.")


class Metrics(Model):
    """Prometheus metrics of the leader."""

    enabled: bool = Field(True, description="Whether they are served.")
    port: Port = Field(9404, description="Where.")
    open: bool = Field(True, description="In plain text and without a token, as Prometheus asks, though TLS is on.")


class Page(Model):
    """The leader's web page."""

    enabled: bool = Field(True, description="Whether it is served.")
    port: Port = Field(8265, description="Where.")


class LogFormat(StrEnum):
    """How lines of logs look."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """The least that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Logging(Model):
    """Logs of workers."""

    format: LogFormat = Field(LogFormat.JSON, description="How lines look.")
    level: LogLevel = Field(LogLevel.INFO, description="The least that is logged.")


class Network(Model):
    """Who may reach the pods."""

    policy: bool = Field(True, description="Whether a NetworkPolicy keeps others out.")
    clients: OpaqueList | None = Field(
        None,
        description="Who may reach leader, metrics and page, as in a NetworkPolicy; default: the namespace.",
    )


class Deadlines(Model):
    """How long something may take before something is done about it."""

    unready: Duration = Field("5m", description="A pod that is not ready for so long is deleted, three times an hour.")
    lost: Duration = Field(
        "30s",
        description="A pod that should have ended so long ago is on a node that is gone: it is deleted by force, and "
        "made anew elsewhere.",
    )
    progress: Duration | None = Field(
        None, description="A job whose epoch does not advance for so long is started again; default: never."
    )
    scale: Duration = Field("10m", description="New pods that are not there by then end a scale.")
    upgrade: Duration = Field("10m", description="A new image that is not healthy by then is taken back.")
    deletion: Duration = Field("2m", description="A deletion ends by then, whatever is left.")


class ClusterSpec(Model):
    """What a cluster is to be."""

    image: str = Field(
        min_length=1, max_length=512, description="Of workers and coordinator; the operator has its own."
    )
    image_pull_policy: str = Field(
        "IfNotPresent", pattern="^(Always|IfNotPresent|Never)$", description="See Container."
    )
    image_pull_secrets: list[Reference] | None = Field(None, description="See Pod.")
    workers: Workers = Field(default_factory=Workers, description="The worker pods.")
    coordinator: Coordinator = Field(default_factory=Coordinator, description="Sums progress updates.")
    store: Store | None = Field(
        None, description="Where state is kept; without one, jobs do not survive the loss of a pod."
    )
    checkpoint: Checkpointing = Field(default_factory=Checkpointing, description="Of jobs that are objects.")
    tls: Tls = Field(
        default_factory=Tls,
        description="Encryption.",
        json_schema_extra=rule(
            "(self.mode == 'Secret') == has(self.secretRef)",
            "secretRef goes with mode Secret, and mode Secret needs it",
        ),
    )
    tokens: Tokens = Field(
        default_factory=Tokens,
        description="What clients have to show.",
        json_schema_extra=rule(
            "(self.mode == 'Secret') == has(self.secretRef)",
            "secretRef goes with mode Secret, and mode Secret needs it",
        ),
    )
    metrics: Metrics = Field(default_factory=Metrics, description="Prometheus metrics.")
    page: Page = Field(default_factory=Page, description="The web page.")
    logging: Logging = Field(default_factory=Logging, description="Logs of workers.")
    network: Network = Field(default_factory=Network, description="Who may reach the pods.")
    deadlines: Deadlines = Field(default_factory=Deadlines, description="How long things may take.")


class ClusterPhase(StrEnum):
    """In a word, what a cluster is at."""

    PENDING = "Pending"
    RUNNING = "Running"
    SCALING = "Scaling"
    UPGRADING = "Upgrading"
    DEGRADED = "Degraded"
    DELETING = "Deleting"


class StepKind(StrEnum):
    """What takes several looks; each member is one step, and stands in the status before it is taken.

    Growing: GROW_PODS, GROW_JOBS. Shrinking: SHRINK_JOBS, SHRINK_PODS, and SHRINK_UNDO after a refusal. A new image:
    UPGRADE_HOLD, UPGRADE_PODS, UPGRADE_HEALTH, UPGRADE_RELEASE; taking it back: ROLLBACK_PODS, ROLLBACK_RELEASE.
    Deletion: DELETE_DRAIN, DELETE_STATE.
    """

    GROW_PODS = "GrowPods"
    GROW_JOBS = "GrowJobs"
    SHRINK_JOBS = "ShrinkJobs"
    SHRINK_PODS = "ShrinkPods"
    SHRINK_UNDO = "ShrinkUndo"
    UPGRADE_HOLD = "UpgradeHold"
    UPGRADE_PODS = "UpgradePods"
    UPGRADE_HEALTH = "UpgradeHealth"
    UPGRADE_RELEASE = "UpgradeRelease"
    ROLLBACK_PODS = "RollbackPods"
    ROLLBACK_RELEASE = "RollbackRelease"
    DELETE_DRAIN = "DeleteDrain"
    DELETE_STATE = "DeleteState"


class Step(Model):
    """The step that something is at.

    Attributes:
        kind: Which step.
        source: The number of pods or the image before.
        target: The number of pods or the image wanted.
        since: When this step began, in seconds since 1970.
        jobs: The jobs that it concerns.
        pods: UIDs of the pods that it concerns.
        message: What went wrong on the way.
    """

    kind: StepKind = Field(description="Which step.")
    source: str = Field("", description="The number of pods or the image before.")
    target: str = Field("", description="The number of pods or the image that is wanted.")
    since: float = Field(0.0, description="When it began, in seconds since 1970.")
    jobs: list[str] = Field(default_factory=list, description="The jobs that it concerns.")
    pods: list[str] = Field(default_factory=list, description="UIDs of the pods that it concerns.")
    message: str = Field("", description="What went wrong on the way.")


class ClusterStatus(Model):
    """What a cluster is."""

    phase: ClusterPhase = Field(ClusterPhase.PENDING, description="In a word.")
    observed_generation: int = Field(0, description="Of the spec that this is about.")
    replicas: int = Field(0, description="How many pods there are to be.")
    ready_replicas: int = Field(0, description="How many are ready.")
    selector: str = Field("", description="Which pods these are, for an autoscaler.")
    workers: str = Field("", description="Ready and wanted.")
    leader: str = Field("", description="Where the leader serves.")
    image: str = Field("", description="The image that the pods are to run.")
    template: str = Field("", description="The digest of the pods' template that is known to be healthy.")
    failed_template: str = Field("", description="The digest of a template that was taken back: it is not tried again.")
    failed_scale: int = Field(
        0,
        description="Generation of the spec whose scale failed: it is tried again with another one, or "
        "when the jobs that refused it are gone.",
    )
    refusing: list[str] = Field(default_factory=list, description="The jobs that did not follow it.")
    refusal: str = Field("", description="Why that failed.")
    failure: str = Field("", description="Why the template was taken back.")
    build: str = Field("", description="The version that the leader runs.")
    jobs: int = Field(0, description="How many jobs have not ended.")
    step: Step | None = Field(None, description="The step of a scale, an upgrade or a deletion.")
    restarts: list[float] = Field(
        default_factory=list, description="When pods were deleted because they were not ready, in seconds since 1970."
    )
    unready: dict[str, float] = Field(
        default_factory=dict, description="Since when pods are not ready, by UID, in seconds since 1970."
    )
    conditions: list[Condition] = Field(default_factory=list, description="What is to be said.")
