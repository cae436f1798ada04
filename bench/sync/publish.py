from bench.sync.results import Report


def publish(report: Report) -> None:
    pass
