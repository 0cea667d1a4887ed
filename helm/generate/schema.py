"""The schema of the chart's values: what is the chart's own stands here, what is a LimnadCluster's comes from its CRD.

Nothing that is not listed is allowed, so that a misspelt value is an error and not the default in silence. Parts of
Kubernetes' own API are left to the API server.
"""

from typing import Any

import yaml

from helm.generate.files import CHART

Schema = dict[str, Any]

OF_THE_CHART = ("image", "imagePullPolicy", "imagePullSecrets", "store")
"""Fields of the spec that the chart fills from values of its own."""

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
OPEN: Schema = {"type": "object"}
OPEN_LIST: Schema = {"type": "array", "items": {"type": "object"}}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
PULL_POLICY: Schema = {"enum": ["Always", "IfNotPresent", "Never"]}
DIGEST: Schema = {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"}
QUANTITY: Schema = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?$"}
INTERVAL: Schema = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h))*$"}
NAME: Schema = {"type": "string", "pattern": "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$", "maxLength": 253}


def closed(**properties: Schema) -> Schema:
    """An object that has these properties and no others."""
    return {"type": "object", "additionalProperties": False, "properties": properties}


def integer(minimum: int, maximum: int) -> Schema:
    """A whole number."""
    return {"type": "integer", "minimum": minimum, "maximum": maximum}


def or_null(schema: Schema) -> Schema:
    """The same, and nothing."""
    return {**schema, "type": [schema["type"], "null"]}


def image(policy: Schema) -> Schema:
    """Where an image is."""
    return closed(repository=TEXT, tag=TEXT, digest=DIGEST, pullPolicy=policy)


OPERATOR = closed(
    enabled=FLAG,
    image=image({"enum": ["", *PULL_POLICY["enum"]]}),
    replicas=integer(0, 10),
    namespaces={"type": "array", "items": {**NAME, "minLength": 1}, "uniqueItems": True},
    logLevel={"enum": ["debug", "info", "warning", "error"]},
    logFormat={"enum": ["json", "text"]},
    resyncSeconds=integer(10, 86400),
    resources=OPEN,
    nodeSelector=TEXTS,
    tolerations=OPEN_LIST,
    affinity=OPEN,
    topologySpreadConstraints=OPEN_LIST,
    priorityClassName=TEXT,
    podLabels=TEXTS,
    podAnnotations=TEXTS,
    serviceAccount=closed(name=NAME, create=FLAG, annotations=TEXTS),
)
STORE = closed(
    url={"type": "string", "pattern": "^(rediss?://.+)?$"},
    existingSecret=NAME,
    existingSecretKey={"type": "string", "minLength": 1},
    onDeletion={"enum": ["Retain", "Delete"]},
)
REDIS = closed(
    enabled=FLAG,
    image=image(PULL_POLICY),
    password=TEXT,
    maxMemory=or_null({"type": "string", "pattern": "^[0-9]+([kKmMgG][bB]?)?$"}),
    config=TEXT,
    persistence=closed(size=QUANTITY, storageClass=TEXT),
    resources=OPEN,
    nodeSelector=TEXTS,
    tolerations=OPEN_LIST,
    affinity=OPEN,
    priorityClassName=TEXT,
    networkPolicy=FLAG,
)
MONITORING = closed(
    podMonitor=closed(enabled=FLAG, interval=INTERVAL, labels=TEXTS),
    rules=closed(enabled=FLAG, labels=TEXTS, runbook={"type": "string", "minLength": 1}),
    dashboards=closed(enabled=FLAG, labels=TEXTS, annotations=TEXTS),
)


def schema() -> Schema:
    """Of values.yaml."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart limnad",
        **closed(
            image=closed(**image(PULL_POLICY)["properties"], pullSecrets={"type": "array", "items": TEXT}),
            operator=OPERATOR,
            cluster=cluster(),
            store=STORE,
            redis=REDIS,
            monitoring=MONITORING,
            uninstall=closed(hook=FLAG, timeoutSeconds=integer(1, 3600)),
            **{"global": OPEN},  # Helm's own, which a parent chart may set
        ),
    }


def cluster() -> Schema:
    """Of a LimnadCluster's spec, with whether there is one and its name."""
    crd = yaml.safe_load((CHART / "crds" / "limnadclusters.yaml").read_text(encoding="utf-8"))
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    fields = {name: of_values(part) for name, part in spec["properties"].items() if name not in OF_THE_CHART}
    # Null: an autoscaler's, and never touched.
    fields["workers"]["properties"]["replicas"] = or_null(fields["workers"]["properties"]["replicas"])
    return closed(enabled=FLAG, name=NAME, **fields)


def of_values(part: Schema) -> Schema:
    """A structural schema as one of values: closed, without defaults, and null where a field may be missing."""
    kept = {key: value for key, value in part.items() if key != "default" and not key.startswith("x-kubernetes-")}
    if "properties" in part:
        required = part.get("required", [])
        kept["properties"] = {
            name: of_values(value) if name in required or "default" in value else or_null(of_values(value))
            for name, value in part["properties"].items()
        }
        kept["additionalProperties"] = False
    if "items" in part:
        kept["items"] = of_values(part["items"])
    return kept
