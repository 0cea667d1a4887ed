"""What the last line of a run says of checkpoints."""

from limnad.cli.view import summary_line
from limnad.client.status import status_of
from limnad_proto.v1 import control_pb2, jobs_pb2


def test_of_each_phase_the_slowest_worker_counts() -> None:
    view = jobs_pb2.JobView(state=jobs_pb2.JOB_STATE_FINISHED, checkpoint=7, checkpoints_committed=3)
    common = {"encode_us": 20_000, "upload_us": 30_000, "commit_us": 4_000, "total_us": 90_000, "stored_bytes": 600}
    view.checkpoint_phases.append(
        control_pb2.CheckpointPhases(stop_us=100, markers_us=3_000, references_us=50, **common)
    )
    view.checkpoint_phases.append(control_pb2.CheckpointPhases(stop_us=900, markers_us=0, references_us=70, **common))
    assert summary_line(status_of(view), 2).endswith(
        ", 3 checkpoints\nthe last checkpoint: 1.2 kB in 0.0900 s; halted 0.0032 s (stop 0.0009, markers 0.0030, "
        "references 0.0001); encode 0.0200 s, upload 0.0300 s, commit 0.0040 s"
    )


def test_a_run_without_checkpoints_says_nothing_of_them() -> None:
    assert "checkpoint" not in summary_line(status_of(jobs_pb2.JobView()), 1)


def test_the_number_of_workers_is_the_one_of_now() -> None:
    view = jobs_pb2.JobView(width=3)
    assert "on 3 workers" in summary_line(status_of(view), 2)
