"""The program inside a job.  Imports torch; never MLflow, SageMaker, click or matplotlib."""
