"""What we know of all stores: patients, studies, series, instances, tags, results; and where the bytes are.

=============  ==================================================================================
`schema`       the tables (`migrations`: how older ones are brought forward)
`columns`      where each index attribute is kept
`scope`        what one asker may see; every reading call takes one
`places`       the stores that are known, opened when needed
`index`        a scan -> rows, in batches; what moved, changed, vanished
`known`        what was known of a store's files, merged with what a scan lists
`record`       objects with their headers read -> rows: scans, arrivals and results all end here
               (`judge`: what is known of them; `parents`: the series, study, patient they belong to)
`compare`      whether two files hold the same object
`arrive`       bytes that are sent here -> one object or a refusal (`spooling`: while they come; `inbox`: of
               many at once)
`delivered`    results, pending until they are published
`conflicts`    objects that say something else under a UID that we have
`delete`       what someone no longer wants: what is owned goes, what is borrowed is forgotten
`forget`       what lies nowhere any more, when someone says so
`search`       a `Query` -> rows; counts, facets (`plan`: a query -> SQL; `matching`: a condition -> SQL;
               `candidates`: what has an index, and `trigrams`; `pages`: ids -> rows; `kept`: what only the
               headers know; `computed`: what is counted)
`gallery`      series as cards show them
`given_in`     what an object can be given in
`fetch`        where an object is; its metadata (`describe`), its bytes (`hierarchy`: objects with their series
               and study; `named`: one of these that is named)
`thumbnails`   one small picture a series, cached
`tags`         labels that people and programs set
`changes`      the change feed
`figures`      what lies in a store, and what was not taken
`sums`         what series add up to
`fold`         text without case and accents, in Python and in SQL
`insert`       an insert that both databases understand (`plain`: SQL for what is done to every object)
=============  ==================================================================================

Functions take a `Database` where they manage transactions themselves (named `database`), and a connection
where they take part in the caller's (named `db`).
"""

from kahu.catalog import fold, migrations, trigrams  # they take part in making the tables

__all__ = ["fold", "migrations", "trigrams"]
