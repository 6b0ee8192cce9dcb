"""DICOM over a network, as PACS and modalities speak it (PS3.7, PS3.8): what both sides of an association share.

===============  ==========================================================================================
`peers`          the applications that are known here by an AE title: where they are, what they may do
===============  ==========================================================================================

The doors that others call (C-STORE, C-FIND, C-MOVE, C-GET as SCP) are `kahu.server.dimse`.
"""
