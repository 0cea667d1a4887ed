"""What a cluster does by itself: one controller a file, each a `Controller` that looks at one object at a time."""
