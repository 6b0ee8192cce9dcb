"""What can be run. A tool is a program that takes a case and gives DICOM; its manifest says what.

A tool is a folder with `tool.toml`, a script, and pinned requirements. Its digest is that of all its files: a
result says exactly what made it.

=============  ==================================================================================
`manifest`     `tool.toml` -> `Tool`, or every mistake in it; the manifest's JSON schema
`json_schema`  what a JSON schema asks of a value: manifests, and parameters before a run
`shelf`        the tools there are: those shipped with Kahu (`shipped/`), those added by people
=============  ==================================================================================
"""
