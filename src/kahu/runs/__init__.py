"""A tool on a cohort: plan (pure), harness (fetch, tool, deliver), result gate, why it failed.

===========  =====================================================================================
`plan`       tool + frozen cases + parameters -> run and task ids: asking twice gives the same ids
`runs`       runs as they are stored and told: start, list, show, cancel, retry
`case`       the ledger's handler for one case: makes the job, watches it, publishes once and whole
`harness`    what runs inside the job around the tool: a DICOMweb client, `python -m kahu.runs.harness`
`gate`       every result is read again before anyone sees it: references, geometry, SOP class, codes
`placement`  where a result lies, held against the image of its case
`verdict`    complaints, and the verdict they add up to
===========  =====================================================================================
"""
