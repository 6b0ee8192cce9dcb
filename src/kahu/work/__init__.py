"""Work, remembered. Everything that happens in the background is a task of some kind in one ledger.

The contract, and its awkward moments:

* `add` is idempotent by id: asking twice adds nothing; a task that failed or was cancelled may be asked
  again.
* A worker `lease`s a task for a while and must `beat` before the lease runs out. A beat answers whether the
  task is still this worker's and still wanted: `Lost` when the lease ran out and someone else has it,
  `Cancelled` when a person said so.
* A worker that stops gives its tasks back, and they lose nothing by it.
* Each lease is a new *attempt* (1, 2, ...). Only the current attempt can finish or fail a task: what an old
  one says is refused, so nothing is delivered twice.
* After a crash, tasks whose lease ran out are leased again; a process that knows it is alone (it holds the
  home's lock) calls `requeue` at start and need not wait. A task that lost its worker `max_attempts` times
  fails and says so.
* A handler's result and its `finish` are one transaction when it says so: pass the connection.

`work` knows no kind of task; `app` tells the worker which function does which kind.
"""

from kahu.work.bell import Bell
from kahu.work.ledger import (
    Cancelled,
    Follower,
    Interrupted,
    Ledger,
    Lost,
    State,
    Stopped,
    Tally,
    Task,
    Todo,
)
from kahu.work.worker import Handler, Report, Worker

__all__ = [
    "Bell",
    "Cancelled",
    "Follower",
    "Handler",
    "Interrupted",
    "Ledger",
    "Lost",
    "Report",
    "State",
    "Stopped",
    "Tally",
    "Task",
    "Todo",
    "Worker",
]
