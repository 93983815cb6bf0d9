# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The common shape of a membership record in C: `fast` of `decode.py`, which states the rules; a test compares both."""

from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_DATA, PyUnicode_GET_LENGTH
from libc.stdint cimport int64_t, uint8_t

from schemas.instants cimport millis_in
from schemas.plain_address cimport PyUnicode_IS_COMPACT_ASCII, is_plain_address

from schemas.identity import MAX_KEY_BYTES, normalise_email
from streams.export.rules.membership import MembershipEvent, RankedChange
from streams.export.rules.row import ENTER, EXIT

cdef object _new = tuple.__new__, RANK_OF_ENTER = ENTER, RANK_OF_EXIT = EXIT
cdef Py_ssize_t LONGEST = MAX_KEY_BYTES // 4, SECONDS = len("2026-01-01T00:00:00")


cdef inline int64_t millis(str text) noexcept:
    """Return an instant, in UTC, as `decode.millis_of`; -1: that is to read it."""
    if not PyUnicode_IS_COMPACT_ASCII(text):
        return -1
    return millis_in(<const uint8_t*>PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text))


cdef bint is_usual(dict user):
    """Whether no field is so large or deep that it has to be looked at."""
    cdef object value
    for value in user.values():
        if type(value) is str:
            if PyUnicode_GET_LENGTH(value) > 64:
                return False
        elif type(value) is list or type(value) is dict:
            return False
    return True


cdef inline object found(dict message, object name, int* count):
    """Return a value, None when it is absent, and count it."""
    cdef PyObject* known = PyDict_GetItem(message, name)
    if known == NULL:
        return None
    count[0] += 1
    return <object>known


def event_of(dict message, int64_t position, int64_t appended, int64_t tolerance, object millis_of, object fault_of_field):
    """(message, offset, time of append, tolerance of the future, the slower ways of two parts) -> event, or None."""
    cdef int known = 0, inside = 0
    cdef object email, at, change, audience, key, name, user, version, event_id, rank, moment
    cdef int64_t instant
    email, at = found(message, "email", &known), found(message, "at", &known)
    change, audience = found(message, "change", &known), found(message, "audience", &known)
    if known < 4 or type(email) is not str or type(at) is not str or type(audience) is not dict:
        return None
    if type(change) is not str:
        return None
    rank = RANK_OF_ENTER if change == "enter" else RANK_OF_EXIT if change == "exit" else None
    key, name = found(<dict>audience, "id", &inside), found(<dict>audience, "name", &inside)
    if rank is None or type(key) is not str or type(name) is not str:
        return None
    if not (0 < PyUnicode_GET_LENGTH(key) <= 250 and 0 < PyUnicode_GET_LENGTH(name) <= 250):
        return None
    inside = known
    user = found(message, "user", &known)
    if known == inside:
        user = {}
    elif type(user) is not dict or (not is_usual(<dict>user) and fault_of_field(user)):
        return None
    inside = known
    version = found(message, "schema_version", &known)
    if known > inside and version != 1:
        return None
    inside = known
    event_id = found(message, "event_id", &known)
    if known > inside and (type(event_id) is not str or PyUnicode_GET_LENGTH(event_id) > 128):
        return None
    if known < len(message) or PyUnicode_GET_LENGTH(at) < SECONDS:
        return None
    if not is_plain_address(email):
        email = normalise_email(email)
        if email is None:
            return None
    if PyUnicode_GET_LENGTH(email) > LONGEST:
        return None
    instant = millis(at)
    if instant < 0:
        moment = millis_of(at)
        if moment is None:
            return None
        instant = moment
    moment = min(instant, appended + tolerance)
    change = _new(RankedChange, (key, rank, moment))
    return _new(MembershipEvent, (email, moment, (change,), None, user, ((key, name),), position, appended, None, None))
