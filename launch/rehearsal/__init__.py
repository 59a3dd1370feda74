"""A rehearsal of SageMaker training jobs on this machine: a server that speaks AWS and really runs the jobs.

:class:`launch.rehearsal.client.Rehearsal` starts it; ``python -m launch.rehearsal`` is the same by hand.  Calls of
training jobs are answered here, and S3, logs, IAM and the rest by moto.  Any client of AWS talks to it that is told
``AWS_ENDPOINT_URL`` and the access key that the server has made up; nobody else can have programs run.  The SageMaker
SDK also has to be told a bucket, since it asks the real STS for its default one.

What is otherwise than in AWS: permissions are not enforced (calls are recorded, to be compared with a policy), and jobs
get no credentials; images are not pulled, and the executor ``namespace`` runs the programs of this machine; several
hosts in namespaces share one loopback network, without a way out; only S3 prefixes are inputs, ``FastFile`` is a
read-only copy, and ``LocalPath`` lies below ``/opt/ml``; downloading an image is no status of its own, and spot
instances cost 30%.  There are two ways of what sources tell differently about AWS: ``--mirror-deletions`` and
``--check-inputs``.
"""
