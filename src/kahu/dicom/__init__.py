"""What DICOM says: pure functions on bytes, headers and arrays. No database, no HTTP library.

==============  =================================================================================
`attributes`    keywords, tags, VRs; which attributes the catalogue indexes, and at which level
`header`        bytes of a Part 10 file -> `Header`: identity, index attributes, where the pixels are
`json_model`    a header -> DICOM JSON Model (PS3.18 annex F), as bytes
`query`         QIDO-RS parameters -> `Query` (PS3.18 §8.3.4, PS3.4 C.2.2.2)
`multipart`     multipart/related, written and read as a stream (PS3.18 §8.6)
`functional`    attributes of one frame, in functional groups or at the top (PS3.3 C.7.6.16)
`malformed`     what objects raise that do not hold what the standard says -> one error
`frames`        which bytes are frame n; a frame -> an array; transcoding
`render`        a frame -> 8-bit picture (PS3.3 C.11, window; thumbnails)
`volume`        slices -> an array with its geometry in patient space (PS3.3 C.7.6.2)
`segmentation`  a label map -> DICOM SEG, and back (PS3.3 A.51)
==============  =================================================================================
"""
