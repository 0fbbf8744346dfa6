"""The arrows: one module a job, each reading one URI and writing another."""
