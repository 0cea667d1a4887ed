"""All errors that Limnad raises, in one tree, by whose fault it is.

LimnadError
├── JobError            the user's job: its file, its arguments, its code
│   ├── GraphError      (limnad.timely) the dataflow breaks a rule
│   ├── TimeError       (limnad.timely) a vertex sends or asks into the past
│   └── JobFailed       a run of the job failed; bears the user's traceback
├── InputError          the data: a row, a file, a schema
└── ClusterError        the deployment: a worker died, a port is taken, an agent or a sink's target cannot be reached
    ├── MissedEpochs    epochs of an output are not kept any more
    ├── Fenced          (limnad.connectors) a newer generation writes to a sink's target
    └── LostOutput      (limnad.connectors) a sink's target has seen more than the checkpoint knows of
"""


class LimnadError(Exception):
    """The root of the tree."""


class JobError(LimnadError):
    """The job is at fault: its file, its arguments or its code."""


class InputError(LimnadError, ValueError):
    """The input data is at fault."""


class ClusterError(LimnadError):
    """The deployment is at fault."""


class MissedEpochs(ClusterError):
    """Epochs of an output that somebody reads are not kept any more."""


class JobFailed(JobError):
    """A run of a job failed.

    Attributes:
        summary: What happened, in one paragraph.
        traceback: The user's own frames and the exception; may be empty.
    """

    def __init__(self, summary: str, traceback: str = "") -> None:
        super().__init__(f"{traceback}\n{summary}".strip() if traceback else summary)
        self.summary = summary
        self.traceback = traceback
