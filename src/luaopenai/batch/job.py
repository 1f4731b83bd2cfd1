"""One job from its start to its output: which rows are asked, which again, and when it stops.

``Job(options, executor)``; ``job.run()`` returns a ``Summary``. ``job.steps()`` does the same in
pieces: it yields the rows that have just been finished, as pairs of ``Row`` and ``Outcome``, or an
empty list at least every 0.1 s, so that its caller can show ``job.counts`` or hand results on.
``job.stop(reason, code, seconds)`` ends it early, from a signal's handler too.
"""
