"""The doors. Async here, plain calls below, bridged once in `pools`.

=============  ===============================================================================
`app`          the server put together: every door behind one guard
`dicomweb`     DICOMweb (PS3.18)
`dimse`        DIMSE (PS3.4, PS3.7), beside the web server on a port of its own
`api`          our own API: what the pages, the command line and the Python client speak
`pages`        the browser app and the viewer
`guard`        who is addressed, from where, who asks; what is written down of it
`scopes`       what an asker may see, in the catalogue's words
`services`     what every door is given
`pools`        bounded pools of threads for what blocks
`answers`      how answers are written; errors in one shape
`streams`      answers that are read while they are sent, and requests whose sender is gone
`connection`   one HTTP connection, with a patience that ends
`memory`       memory that has been freed, kept for what comes next
`conformance`  the conformance statement, in `markdown`
=============  ===============================================================================
"""
