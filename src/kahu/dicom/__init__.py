"""What DICOM says: pure functions on bytes, headers and arrays. No database, no HTTP library.

==============  =================================================================================
`attributes`    keywords, tags, VRs; which attributes the catalogue indexes, and at which level
`header`        bytes of a Part 10 file -> `Header`: identity, index attributes, where the pixels are
`walk`          through the elements of a plain little endian data set, reading little (PS3.5 §7)
`odd`           other data sets, read by pydicom, as if they had been plain
`elements`      tags, VRs, lengths, items as they lie in bytes (PS3.5 §7.1, §7.5)
`text`          bytes -> text in the character sets of DICOM (PS3.5 §6.1)
`json_model`    a header -> DICOM JSON Model (PS3.18 annex F), as bytes
`json_read`     DICOM JSON Model with bulk data -> a file (PS3.18 annex F)
`query`         QIDO-RS parameters, C-FIND identifiers -> `Query` (PS3.18 §8.3.4, PS3.4 C.4.1)
`match`         one condition of a query (PS3.4 C.2.2.2)
`holds`         whether an object meets conditions, told from its DICOM JSON
`levels`        whose attribute one is that is not of the index (PS3.3 C.7.1 to C.7.5)
`multipart`     multipart/related, written and read as a stream (PS3.18 §8.6)
`functional`    attributes of one frame, in functional groups or at the top (PS3.3 C.7.6.16)
`same`          whether two files say the same of one object, however they are written
`malformed`     what objects raise that do not hold what the standard says -> one error
`syntaxes`      the table of transfer syntaxes: what can be read, and given (PS3.5 annex A)
`frames`        which bytes are frame n; the way to arrays and uncompressed bytes
`facts`         what the Image Pixel module says of an image (PS3.3 C.7.6.3)
`codestream`    what a compressed frame says of itself before it is decoded
`pixels`        codecs and colour: a frame's bytes -> an array (PS3.5 §8)
`colour`        YBR_FULL and RGB (PS3.3 C.7.6.3.1.2)
`rle`           RLE Lossless, there and back (PS3.5 annex G)
`encode`        an array -> a frame's bytes (PS3.5 §8.2)
`recode`        frames from one transfer syntax to another: which ways there are (PS3.5 §8.2)
`transcode`     objects from one transfer syntax to another (PS3.5 §10)
`rewrite`       a data set's elements in another encoding: VRs, order of bytes (PS3.5 annex A)
`encapsulate`   frames -> fragments with their offset tables (PS3.5 A.4)
`file_meta`     preamble and group 2: of what comes without, for another transfer syntax (PS3.10 §7.1)
`display`       what an object says of how its frames look (PS3.3 C.11)
`render`        a frame -> 8-bit picture (PS3.3 C.11, window; thumbnails)
`grid`          where frames, slices and voxels are in the patient (PS3.3 C.7.6.2)
`volume`        slices -> an array on its grid; NIfTI and label maps
`segmentation`  a label map -> DICOM SEG, and back (PS3.3 A.51)
==============  =================================================================================
"""
