# cython: language_level=3, boundscheck=False, wraparound=False
"""The usual events of a post, translated in C. `translate.py` states the rules.

`events` returns None for a post with anything unusual, which is then translated there; a test compares both.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_DATA, PyUnicode_GET_LENGTH
from libc.stdint cimport uint8_t

from schemas.json_text cimport *
from schemas.plain_address cimport is_plain_address

from hashlib import blake2b

from orjson import OPT_SORT_KEYS, dumps

from connectors.campaign_monitor.events import event_key, webhook_update
from connectors.kafka.records import OutgoingRecord

include "../campaign_monitor/native_json.pxi"

cdef object _new = tuple.__new__
cdef str TYPE = "Type", DATE = "Date", EMAIL = "EmailAddress", STATE = "State", NAME = "Name"
cdef str OLD_EMAIL = "OldEmailAddress", SIGNUP = "SignupIPAddress", UPDATE = "update", SUBSCRIBE = "subscribe"


cdef bytes _event_id(Buffer* base, dict event, str kind, str status, bytes list_id, str key, str instant):
    """Return the 16 bytes behind an event's id: `list_change` and `webhook_update` of events.py."""
    if kind == UPDATE:
        content = {name: value for name, value in event.items() if name != DATE}
        text = webhook_update(list_id.decode(), key, instant, dumps(content, option=OPT_SORT_KEYS))
        return blake2b(text.encode(), digest_size=16).digest()
    base.size = 0
    put_raw(base, b"list\x1f", 5)
    put_utf8(base, kind)
    put_char(base, 31)
    if kind != SUBSCRIBE:
        put_utf8(base, status)
    put_char(base, 31)
    put_bytes(base, list_id)
    put_char(base, 31)
    put_utf8(base, key)
    put_char(base, 31)
    put_utf8(base, instant[:16])
    return blake2b(taken_bytes(base), digest_size=16).digest()


def events(list found, bytes list_id, dict statuses, object moment_of, bytes tail, str topic, Py_ssize_t room):
    """(events, list, kind -> state -> status, dates, common end, topic, bytes of a record) -> (records, kinds), or None.

    `moment_of`: date -> (at, instant of the id), None for what is no date. `kinds`: the kind of each record.
    """
    cdef _Writer writer = _Writer()
    cdef Buffer* base = &writer.base
    cdef Buffer* value = &writer.value
    cdef dict event
    cdef list records = [], kinds = []
    cdef str address, key, date, kind, status, text, last = None, at = None, instant = None
    cdef object item, states, known, moment
    cdef bytes key_bytes
    try:
        for item in found:
            if type(item) is not dict:
                return None
            event = <dict>item
            kind = text_of(event, TYPE).lower()
            states = value_of(statuses, kind)
            if states is None:
                return None
            known = value_of(<dict>states, text_of(event, STATE).lower())
            address, date = text_of(event, EMAIL), text_of(event, DATE)
            if known is None or text_of(event, OLD_EMAIL):
                return None
            status = known
            key = address if is_plain_address(address) else event_key(address)
            if "@" not in address:
                return None
            if last is None or date != last:
                moment = moment_of(date)
                if moment is None:
                    return None
                last = date
                at, instant = moment
            value.size = 0
            put_raw(value, b'{"schema_version":1,"event_id":"', 32)
            put_hex(value, _event_id(base, event, kind, status, list_id, key, instant))
            put_raw(value, b'","at":', 7)
            put_text(value, at)
            put_raw(value, b',"event":', 9)
            put_text(value, kind)
            put_raw(value, b',"email":', 9)
            put_text(value, address)
            put_raw(value, b',"source":"webhook","echo":false,"raw_date":', 44)
            put_text(value, date)
            put_raw(value, b',"custom_fields":', 17)
            put_fields(value, event)
            if status:
                put_raw(value, b',"status":', 10)
                put_text(value, status)
            text = text_of(event, NAME)
            if text:
                put_raw(value, b',"name":', 8)
                put_text(value, text)
            text = text_of(event, SIGNUP)
            if text[:1].isdigit() or ":" in text:
                put_raw(value, b',"ip":', 6)
                put_text(value, text)
            put_bytes(value, tail)
            key_bytes = key.encode()
            if len(key_bytes) + value.size > room:
                return None
            records.append(_new(OutgoingRecord, (topic, key_bytes, taken_bytes(value), None, None)))
            kinds.append(kind)
    except (_UnusualRow, UnicodeEncodeError):
        return None
    return records, kinds
