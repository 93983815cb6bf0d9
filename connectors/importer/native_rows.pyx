# cython: language_level=3, boundscheck=False, wraparound=False
"""The usual rows of a page, translated in C. `translate.py` and `subscriber_rows.py` state the rules.

Both functions return None for a page with anything unusual, which is then translated there; a test compares both.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_GetItem, PyDict_Next, PyDict_SetItem
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_DATA, PyUnicode_GET_LENGTH
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from schemas.json_text cimport *
from schemas.plain_address cimport is_plain_address

from hashlib import blake2b

from orjson import dumps

from connectors.campaign_monitor.events import custom_fields, event_key
from connectors.importer.translated import ImportedRecord, TranslatedRow

include "../campaign_monitor/native_json.pxi"

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    bint PyUnicode_IS_COMPACT_ASCII(object text)

cdef object _new = tuple.__new__
cdef str TEXTS = "URL IPAddress CountryCode CountryName City Region BounceType Reason"
cdef tuple ACTIVITY_TEXTS = tuple(TEXTS.split())
cdef list ACTIVITY_NAMES = [b',"url":', b',"ip":', b',"cc":', b',"country":', b',"city":', b',"region":',
                            b',"bounce_type":', b',"reason":']
cdef tuple USER_TEXTS = ("Name", "ConsentToTrack", "ConsentToSendSms", "MobileNumber", "ReadsEmailWith",
                         "SuppressionReason")
cdef list USER_NAMES = [b',"name":', b',"consent_to_track":', b',"consent_to_send_sms":', b',"mobile_number":',
                        b',"reads_email_with":', b',"suppression_reason":']
cdef str EMAIL = "EmailAddress", DATE = "Date", SENT_DATE = "SentDate", LIST = "ListID", JOINED = "ListJoinedDate"
cdef str STATE = "State"
cdef str LATITUDE = "Latitude", LONGITUDE = "Longitude", URL = "URL", IP = "IPAddress"


def activity(list rows, bytes head, bint is_change, bytes beginning, str status, str sent, str default_list,
             dict names, str default_name, bint numbered, str minute, object held, object chosen, str since,
             dict days, object moment_of, bytes tail):
    """(rows, constants of the source, minute and ids of the page before, dates) -> list of TranslatedRow, or None.

    `head`: of an id's base, up to the list; `beginning`: from `event` to before the address; `days`:
    `ClientDates.plain_days`; `moment_of`: date -> (at, instant of the id), None for a date in a repeated hour.
    """
    cdef _Writer writer = _Writer()
    cdef Buffer* base = &writer.base
    cdef Buffer* value = &writer.value
    cdef dict row, ordinals = {}
    cdef list translated = []
    cdef str address, key, date, list_id, last = None, at = None, instant = None, name
    cdef object found, moment, event_id, text_bytes
    cdef Py_ssize_t number, ordinal
    cdef PyObject* counted
    if type(held) not in (set, frozenset):
        return None
    try:
        for item in rows:
            if type(item) is not dict:
                return None
            row = <dict>item
            address = text_of(row, EMAIL)
            key = address if is_plain_address(address) else event_key(address)
            date = text_of(row, DATE) or text_of(row, SENT_DATE) or sent
            list_id = text_of(row, LIST) or default_list
            if last is None or date != last or not date:
                last, at = date, _utc(days, date)
                instant = at
                if at is None:
                    moment = moment_of(date)
                    if moment is None:
                        return None
                    at, instant = moment
            base.size = 0
            put_bytes(base, head)
            put_utf8(base, list_id)
            put_char(base, 31)
            put_utf8(base, key)
            put_char(base, 31)
            if is_change:
                put_utf8(base, instant[:16])
            else:
                put_utf8(base, instant)
                put_char(base, 31)
                put_utf8(base, text_of(row, URL))
                put_char(base, 31)
                put_utf8(base, text_of(row, IP))
            text_bytes = taken_bytes(base)
            ordinal = 0
            if numbered:
                if minute is None or not at.startswith(minute) or len(minute) < 16:
                    if minute is None or at[:16] != minute:
                        minute, held = at[:16], frozenset()
                        ordinals.clear()
                counted = PyDict_GetItem(ordinals, text_bytes)
                ordinal = <object>counted + 1 if counted != NULL else 0
            event_id = _digest(text_bytes, ordinal)
            while held and event_id[:6] in held:
                ordinal += 1
                event_id = _digest(text_bytes, ordinal)
            PyDict_SetItem(ordinals, text_bytes, ordinal)
            value.size = 0
            put_raw(value, b'{"schema_version":1,"event_id":"', 32)
            put_hex(value, event_id)
            put_raw(value, b'","at":', 7)
            put_text(value, at)
            put_bytes(value, beginning)
            put_text(value, address)
            put_raw(value, b',"raw_date":', 12)
            put_text(value, date)
            if status is not None:
                put_raw(value, b',"status":', 10)
                put_text(value, status)
            if list_id:
                put_raw(value, b',"list_id":', 11)
                put_text(value, list_id)
                found = value_of(names, list_id)
                name = <str>found if found is not None and found else default_name
                if name is not None:
                    put_raw(value, b',"list_name":', 13)
                    put_text(value, name)
            for number in range(8):
                found = value_of(row, <str>ACTIVITY_TEXTS[number])
                if found is not None and found != "":
                    if type(found) is not str:
                        return None
                    put_bytes(value, <bytes>ACTIVITY_NAMES[number])
                    put_text(value, found)
            found = value_of(row, LATITUDE)
            if found is not None:
                put_raw(value, b',"latitude":', 12)
                put_value(value, found)
            found = value_of(row, LONGITUDE)
            if found is not None:
                put_raw(value, b',"longitude":', 13)
                put_value(value, found)
            put_bytes(value, tail)
            record = _new(ImportedRecord, ("cm_activity", key.encode(), taken_bytes(value)))
            in_scope = (not chosen or list_id in chosen) and at >= since
            translated.append(_new(TranslatedRow, (event_id, at, record, in_scope, False, False, "")))
    except (_UnusualRow, UnicodeEncodeError):
        return None
    return translated


cdef inline object _digest(bytes base, Py_ssize_t ordinal):
    if ordinal:
        base = base + b"\x1f%d" % ordinal
    return blake2b(base, digest_size=16).digest()


cdef str _utc(dict days, str date):
    """Return the instant of `YYYY-MM-DD HH:MM:SS` on a day that was met before; None for any other date."""
    cdef const uint8_t* text
    cdef uint8_t* instant
    cdef PyObject* hours
    cdef int hour
    cdef object prefix
    if PyUnicode_GET_LENGTH(date) != 19 or not PyUnicode_IS_COMPACT_ASCII(date):
        return None
    hours = PyDict_GetItem(days, date[:10])
    text = <const uint8_t*>PyUnicode_DATA(date)
    hour = _two_digits(text + 11)
    if hours == NULL or len(<tuple><object>hours) != 24 or not 0 <= hour < 24:
        return None
    if text[10] != 32 or text[13] != 58 or text[16] != 58:
        return None
    if not (0 <= _two_digits(text + 14) < 60 and 0 <= _two_digits(text + 17) < 60):
        return None
    prefix = (<tuple><object>hours)[hour]
    if PyUnicode_GET_LENGTH(prefix) != 13:
        return None
    found = PyUnicode_New(24, 127)
    instant = <uint8_t*>PyUnicode_DATA(found)
    memcpy(instant, PyUnicode_DATA(prefix), 13)
    memcpy(instant + 13, text + 13, 6)
    memcpy(instant + 19, b".000Z", 5)
    return <str>found


cdef inline int _two_digits(const uint8_t* text) noexcept:
    """Return the number that two digits write, a negative one for anything else."""
    if text[0] < 48 or text[0] > 57 or text[1] < 48 or text[1] > 57:
        return -1
    return (text[0] - 48) * 10 + text[1] - 48


def users(list rows, bytes owner, str default_state, dict days, object moment_of, bytes tail):
    """(rows, beginning of their ids' bases, state of one without, dates, common end) -> list of TranslatedRow, or None.

    `days`: `ClientDates.days`; `moment_of`: date -> instant, None for one that cannot be read.
    """
    cdef _Writer writer = _Writer()
    cdef Buffer* base = &writer.base
    cdef Buffer* value = &writer.value
    cdef dict row
    cdef list translated = []
    cdef str address, key, date, joined, at, joined_at
    cdef object found, event_id
    cdef Py_ssize_t position, number
    cdef PyObject* name
    cdef PyObject* content
    cdef bint more
    try:
        for item in rows:
            if type(item) is not dict:
                return None
            row = <dict>item
            address, date, joined = text_of(row, EMAIL), text_of(row, DATE), text_of(row, JOINED)
            at = _utc(days, date) or moment_of(date)
            joined_at = at if joined == date else moment_of(joined) if joined else None
            if at is None or (joined and joined_at is None):
                return None
            key = address if is_plain_address(address) else event_key(address)
            base.size = position = 0
            more = False
            put_bytes(base, owner)
            put_char(base, 123)
            while PyDict_Next(row, &position, &name, &content):
                if more:
                    put_char(base, 44)
                more = True
                put_text(base, <object>name)
                put_char(base, 58)
                if <object>name == DATE:
                    put_text(base, at)
                elif <object>name == JOINED and joined:
                    put_text(base, joined_at)
                else:
                    put_value(base, <object>content)
            put_char(base, 125)
            event_id = blake2b(taken_bytes(base), digest_size=16).digest()
            value.size = 0
            put_raw(value, b'{"schema_version":1,"event_id":"', 32)
            put_hex(value, event_id)
            put_raw(value, b'","at":', 7)
            put_text(value, at)
            put_raw(value, b',"email":', 9)
            put_text(value, address)
            put_raw(value, b',"status":', 10)
            put_text(value, text_of(row, STATE) or default_state)
            put_raw(value, b',"custom_fields":', 17)
            put_fields(value, row)
            put_raw(value, b',"raw_date":', 12)
            put_text(value, date)
            if joined_at is not None:
                put_raw(value, b',"joined_at":', 13)
                put_text(value, joined_at)
            for number in range(6):
                found = value_of(row, <str>USER_TEXTS[number])
                if found is not None:
                    put_bytes(value, <bytes>USER_NAMES[number])
                    put_value(value, found)
            put_bytes(value, tail)
            record = _new(ImportedRecord, ("cm_user", key.encode(), taken_bytes(value)))
            translated.append(_new(TranslatedRow, (event_id, at, record, True, False, False, "")))
    except (_UnusualRow, UnicodeEncodeError):
        return None
    return translated
