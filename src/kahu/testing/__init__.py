"""For tests, ours and those of people who write stores, executors and tools. Nothing else imports it.

===========  =================================================================================
`stores`     `StoreTests`, `OwnedStoreTests`: the contract of `kahu.stores` as tests to inherit
`executors`  `ExecutorTests`: the same for `kahu.executors`
`catalogue`  a catalogue in a folder, to be filled and asked
`samples`    small DICOM objects, made when they are needed
===========  =================================================================================
"""
