"""For tests, ours and those of people who write stores, executors and tools. Nothing else imports it.

===========  =================================================================================
`stores`     `StoreTests`, `OwnedStoreTests`: the contract of `kahu.stores` as tests to inherit
`executors`  `ExecutorTests`: the same for `kahu.executors`
`samples`    small DICOM objects, made when they are needed
===========  =================================================================================
"""
