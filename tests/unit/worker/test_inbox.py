from limnad_worker.inbox import Inbox


def test_a_ring_ends_one_wait_and_only_one() -> None:
    inbox = Inbox()
    inbox.ring(0.0)
    inbox.ring(0.0)
    assert inbox.wait() is None
    inbox._loop.call_later(0.0, inbox.put, "news")
    assert inbox.wait() == "news"
    inbox.close()
