from bench.sync.results import Report


def svg(report: Report) -> str:
    return ""
