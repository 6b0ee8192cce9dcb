"""What we know of all stores: patients, studies, series, instances, tags, results; and where the bytes are.

=============  ==================================================================================
`schema`       the tables
`scope`        what one asker may see; every reading call takes one
`places`       the stores that are known, opened when needed
`index`        a scan -> rows, in batches; what moved, changed, vanished
`arrive`       bytes that are sent here -> one object or a refusal; results, pending until published
`search`       a `Query` -> rows; counts, facets
`fetch`        where an object is; its metadata, its bytes
`thumbnails`   one small picture a series, cached
`tags`         labels that people and programs set
=============  ==================================================================================

Functions take a `Database` where they manage transactions themselves (named `database`), and a connection
where they take part in the caller's (named `db`).
"""
