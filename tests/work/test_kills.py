"""kill -9 of the process that works, at any moment: nothing is lost, nothing is finished twice."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import sqlalchemy as sa

from kahu.db import Database, metadata
from kahu.work import Ledger, Todo

TASKS = 36

# What a finished task has delivered, written in the transaction that finishes it.
delivered = sa.Table(
    "delivered", metadata, sa.Column("n", sa.Integer, primary_key=True), sa.Column("task", sa.Text)
)

PROGRAM = """
import sys, time
import sqlalchemy as sa
from kahu.db import Database
from kahu.work import Ledger, Worker

database = Database(sys.argv[1])
ledger = Ledger(database)
ledger.requeue(alone=True)

def handle(task, report):
    print("begun", flush=True)
    time.sleep(0.01)
    with database.write() as db:
        db.execute(sa.text("INSERT INTO delivered (task) VALUES (:task)"), {"task": task.id})
        report.finish("done", db=db)

Worker(ledger, {"case": handle}, {"case": 4}).start()
while ledger.counts()["queued"] + ledger.counts()["running"]:
    time.sleep(0.01)
"""


def test_killed_in_mid_task_again_and_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'catalog.db'}"
    database = Database(url)
    database.create()
    ledger = Ledger(database)
    ledger.add(*(Todo(f"t{n}", "case", max_attempts=1000) for n in range(TASKS)))
    chance = random.Random(6)
    kills = 0
    while ledger.counts()["done"] < TASKS:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, url], stdout=subprocess.PIPE)
        assert process.stdout
        begun = [process.stdout.readline() for _ in range(chance.randint(3, 12))]
        if begun[-1]:  # in the middle of that task and a few others
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        process.stdout.close()
    with database.read() as db:
        told = db.execute(sa.select(delivered.c.task)).scalars().all()
    assert sorted(told) == sorted(f"t{n}" for n in range(TASKS))
    assert kills >= 3, "it was meant to be killed in between"
    database.close()
