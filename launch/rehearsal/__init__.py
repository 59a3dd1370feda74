"""A rehearsal of SageMaker training jobs on this machine: a server that speaks AWS and really runs the jobs.

:class:`launch.rehearsal.client.Rehearsal` starts it; ``python -m launch.rehearsal`` is the same by hand.  S3, logs,
IAM and the rest are moto's; the calls of training jobs are answered here.  What cannot be rehearsed: real permissions,
pulling images, the speed of real instances, prices.
"""
