"""What can be run. A tool is a program that takes a case and gives DICOM; its manifest says what.

A tool is a folder with `tool.toml` (`manifest`), a script, and pinned requirements. `shelf` finds tools: those shipped
with Kahu, those added by people. A tool's digest is that of all its files, so a result says exactly what made it.
"""
