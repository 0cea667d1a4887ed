"""Next to nothing: what a job costs that does nothing."""

import limnad


def job(flow: limnad.Flow) -> None:
    """One epoch of one row."""
    flow.values([["row"]]).output("rows")
