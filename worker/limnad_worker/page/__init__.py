"""The leader's web page: read-only, for people who look at a job.

`content` says what is shown, as plain data; `server` serves it, as JSON and as server-sent events, and the files in
`static`, which draw it. It knows jobs as `JobView`s and nothing else of the agent; what a page could change it must
never offer.
"""

from limnad_worker.page.server import Jobs, NotYet, Page

__all__ = ["Jobs", "NotYet", "Page"]
