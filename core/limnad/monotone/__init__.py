"""Operators on sets that only grow: they run without any coordination (after BLOOM; Naiad, section 4.3).

What they say is never taken back, so they need not know whether more will come: they answer each batch at once and
never call ``notify_at``. What is exact is the *set*: the different rows up to a time are the same in every run; how
often one of them comes, and at which of the times at which it may, depends on who was faster.

What must never live here: an answer that a later row could make wrong.
"""

from limnad.monotone.operators import best, distinct, join, uncoordinated

__all__ = ["best", "distinct", "join", "uncoordinated"]
