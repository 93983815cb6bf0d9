"""How large a run is: FAULT_KILLS kills, 12 on an ordinary day, 50 and more for `make faults`."""

import os

KILLS = int(os.environ.get("FAULT_KILLS", "12"))

FULL = KILLS >= 50
"""Every run over two workers or a failing broker has 200,000 events then."""

FULL_EVENTS = 200_000
