"""DICOM over a network, as PACS and modalities speak it (PS3.7, PS3.8): what both sides of an association share.

===============  ==========================================================================================
`association`    associations, from either side: begun, messages both ways, ended
`pdu`            the PDUs that begin and end them, as bytes and as plain data
`command`        command sets
`messages`       messages in fragments, both ways
`stream`         bytes over a socket
`contexts`       which presentation contexts are offered and accepted
`tls`            what we show, and whom we trust
`identifier`     the data sets of questions and answers, as bytes
`given`          an object that goes, as the other side takes it
`taken`          an object that comes, into the inbox
`status`         statuses, and what they mean in words
`peers`          the applications that are known here by an AE title: where they are, what they may do
`reach`          associations that we ask for, and the way out of one that hangs
`question`       a question as people put it -> an identifier; answers -> rows
`scu`            what we ask of a peer: C-ECHO, C-FIND
`transfers`      what is to be sent or retrieved, and how far that is (`course`: one attempt at it)
`send`           series to a peer: C-STORE
`retrieve`       studies from a peer: C-GET, C-MOVE to ourselves
===============  ==========================================================================================

The doors that others call (C-STORE, C-FIND, C-MOVE, C-GET as SCP) are `kahu.server.dimse`.
"""
