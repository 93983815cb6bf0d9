"""What the import connector counts."""

from prometheus_client import Counter, Gauge, Histogram

RECORDS = Counter("import_records_total", "Records published, by topic.", ["topic"])
REPEATS = Counter("import_repeats_total", "Rows that were known and not published again.")
PAGES = Counter("import_pages_total", "Steps done, by kind.", ["kind"])
RESTARTS = Counter("import_restarts_total", "Pages read again because rows had moved while they were read.")
ODD_DATES = Counter("import_odd_dates_total", "Rows whose date could not be read.")
IN_FLIGHT = Gauge("import_pages_in_flight", "Calls to Campaign Monitor that are not answered yet.")
AHEAD = Counter("import_pages_asked_ahead_total", "Pages that were asked for before their task came.", ["outcome"])
PUBLISH = Histogram("import_publish_seconds", "Time of a page's transaction.")
PARKED = Counter("import_parked_total", "Steps put aside to be tried later.")
FAILED = Counter("import_failed_chains_total", "Chains given up in a run, because trying again cannot help.")
RUNS = Counter("import_runs_total", "Runs that were begun.")
