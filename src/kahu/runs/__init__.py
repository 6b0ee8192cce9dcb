"""A tool on a cohort: plan (pure), harness (fetch, tool, deliver), result gate, why it failed.

===========  =====================================================================================
`plan`       tool + frozen cases + parameters -> run and task ids: asking twice gives the same ids
`freeze`     series of the catalogue -> cases, as they are now
`runs`       runs as they are stored and told: start, list, show, cancel, retry
`case`       the ledger's handler for one case: makes the job, watches it, publishes once and whole
`job`        a case and its tool -> a job in the executor's words
`harness`    what runs inside the job around the tool: a DICOMweb client, `python -m kahu.runs.harness`
`gate`       every result is read again before anyone sees it: references, geometry, SOP class, codes
`check`      what was delivered and what it was made from, read for the gate
`placement`  where a result lies, held against the image of its case
`verdict`    complaints, and what they add up to
`trial`      a tool run on a series before anyone else sees it: nothing is stored
`why`        how a job ended and what it printed -> one line that says why, and one that says what to do
===========  =====================================================================================
"""
