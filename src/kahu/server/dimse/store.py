"""C-STORE: objects come in (PS3.4 annex B, PS3.7 §9.1.1)."""

from kahu.dimse.association import Message
from kahu.dimse.taken import take
from kahu.server.dimse.call import Call


def perform(call: Call, message: Message) -> None:
    """Keeps the object, and answers when it is durable."""
    taken = take(call.services.inbox, message, call.context(message), call.caller.aet)
    if taken.received and taken.received.study_instance_uid not in call.studies:
        call.studies.add(taken.received.study_instance_uid)
        call.audit("C-STORE", f"studies/{taken.received.study_instance_uid}")
    call.answer(message, taken.status, taken.comment)
