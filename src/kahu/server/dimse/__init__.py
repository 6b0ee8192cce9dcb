"""The DIMSE door: what this application performs as SCP (PS3.4 annexes A, B and C, PS3.7, PS3.8).

===================  ======================================================================================
`listener`           the port, and a thread for each association
`admission`          who may call, and on which terms an association is accepted
`offered`            the SOP classes that are performed
`session`, `call`    one association: each message goes to its operation
`store`              C-STORE
`find`, `answer`     C-FIND
`retrieve`           C-GET and C-MOVE; `selection`: of what; `suboperations`: object by object
`statuses`           what is answered, and when
`conformance`        all this in words
===================  ======================================================================================
"""
