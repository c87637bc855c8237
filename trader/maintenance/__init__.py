"""Daily, weekly and monthly maintenance: jobs of tasks, each with a result that a machine can alert on.

Rules: a job reads, but for what is its purpose to write (backups, reports, metrics, the clean-up of its own folders).
Nothing here trades or opens the live journal for writing; what a job wants journaled it tells the service.
"""
