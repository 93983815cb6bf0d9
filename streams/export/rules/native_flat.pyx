# cython: language_level=3, boundscheck=False, wraparound=False
"""People of the common kind in C: `FlatPlan.person`, byte by byte. The rules are in `flat_import.py`; a test compares both."""

from cpython.dict cimport PyDict_GetItem
from cpython.mem cimport PyMem_Free
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t
from libc.string cimport memcmp

from schemas.instants cimport millis_in
from schemas.json_text cimport *
from schemas.plain_address cimport is_plain_text
from schemas.short_digest cimport put_digest

from orjson import dumps, loads

from schemas.identity import MAX_KEY_BYTES
from streams.export.rules.flat_import import MANY, PLAIN_HELD, PLAIN_ROW, SHORT, FlatImport, waiting_answers
from streams.export.rules.row import ENTER
from streams.export.rules.values import VALUE_LIMIT
from streams.export.rules.values import texts as texts_of_value

cdef int64_t RANK_OF_ENTER = ENTER, MOST = MANY, LONGEST_SHORT = SHORT, LONGEST = VALUE_LIMIT
cdef Py_ssize_t HELD_PARTS = PLAIN_HELD

include "native_flat_parts.pxi"
include "native_plain.pxi"
include "native_newcomers.pxi"


cdef class FlatPass:
    """The plan of a list, and the buffers that its people are written into."""

    cdef object plan, is_alone, units
    cdef str list_id, job_id, name_field, custom_field
    cdef int64_t started, max_bytes
    cdef bint existing
    cdef list mapped
    cdef dict alone, options, texts
    cdef bytes consent, epoch
    cdef Buffer base, values, held, body

    def __cinit__(self, plan):
        self.base = self.values = self.held = self.body = Buffer(NULL, 0, 0)
        self.plan, self.is_alone, self.alone, self.options, self.texts = plan, plan.is_alone, {}, {}, {}
        self.units = plan.view.units
        self.list_id, self.job_id, self.started = plan.listed.list_id, plan.view.id, plan.view.started
        job = plan.view.job
        self.name_field, self.custom_field, self.max_bytes = job.name_field, job.custom_field_name, plan.max_row_bytes // 2
        self.existing = job.existing_users
        self.mapped = list(plan.mapped)
        self.consent, self.epoch = dumps(job.consent_to_track), dumps(plan.listed.epoch)

    def __dealloc__(self):
        PyMem_Free(self.base.data)
        PyMem_Free(self.values.data)
        PyMem_Free(self.held.data)
        PyMem_Free(self.body.data)

    def newcomer(self, PlainRecord plain, int64_t source):
        """As `person`, of somebody without a row and with one record of the common shape; None: ask `person`."""
        return newcomer_of(self, plain, source)

    def person(self, bytes key, list events, bytes value, int64_t source):
        """As `FlatPlan.person`."""
        cdef dict letters = {}, audiences, fields
        cdef list held, part, entry, inside, answers = [], options, texts = []
        cdef tuple event, change
        cdef str email = events[0][0] if events else key.decode(), digest, audience
        cdef object item, name, alone, option, text
        cdef Buffer* base = &self.base
        cdef int64_t answered = -1, position, seen = -1, newest = 0, first = events[0][6] if events else -1, entered
        cdef bint counts = self.existing
        if value is not None:
            letters = loads(value)
            for name in letters:
                if name not in PLAIN_ROW:
                    return None
            if letters.get("p") != source:
                return None
        held = self.held_of(letters.get("l"), email)
        if held is None or not key.isascii():
            return None
        part = value_of(<dict>held[0], self.job_id)
        if part is not None:
            answered = part[1]
            counts = counts or part[2]
        audiences, fields = letters.get("a") or {}, letters.get("f") or {}
        for item in events:
            event = <tuple>item
            if not self.fold(audiences, fields, event, answered):
                return None
            change = <tuple>(<tuple>event[2])[0]
            answers.append((event[6], event[7], <int64_t>change[1] == RANK_OF_ENTER))
        if "email" in fields or len(audiences) > MOST or len(fields) > MOST:
            return None
        inside = []
        for audience, entry in audiences.items():
            position = entry[2]
            alone = value_of(self.alone, audience)
            if alone is None:
                alone = self.alone[audience] = self.is_alone(audience)
            if not alone or answered < position < first:
                return None
            seen = max(seen, position)
            counts = counts or <int64_t>entry[4] >= self.started
            if not <int64_t>entry[0] & 1:
                inside.append(audience)
                entered = entry[5] if len(entry) > 5 else entry[4]
                newest = max(newest, min(entered, <int64_t>entry[3]))
        if not inside or not counts:
            return None
        inside.sort()
        options = []
        for audience in inside:
            option = value_of(self.options, audience)
            if option is None:
                option = self.options[audience] = self.plan.option(audience)
            options.append(option)
        for text, _ in options:
            if text is None:
                return None
            texts.append(text)
        entered = max(<int64_t>held[4], newest)
        name = text_of(fields, self.name_field)
        if not self.put_values(fields):
            return None
        digest = self.digest(email, name, texts)
        if part is not None and part[0] == digest:
            return None  # nothing differs
        if len(options) > 1:
            options.sort()
        held_digest = self.held_digest(email, name, options)
        base.size = 0
        put_row(base, audiences, fields)
        put_raw(base, b'"l":{', 5)
        put_text(base, self.list_id)
        put_raw(base, b":[{", 3)
        put_text(base, self.job_id)
        put_raw(base, b":[", 2)
        put_text(base, digest)
        put_char(base, b",")
        put_int(base, max(answered, seen))
        put_raw(base, b",1]},", 5)
        put_text(base, email)
        put_char(base, b",")
        put_texts(base, inside)
        put_raw(base, b",0,", 3)
        put_int(base, entered)
        put_raw(base, b",0,", 3)
        put_int(base, held[6])
        put_char(base, b",")
        put_int(base, max(<int64_t>held[7], seen))
        put_char(base, b",")
        put_text(base, held_digest)
        put_char(base, b",")
        put_text(base, held[9])
        put_raw(base, b']},"p":', 7)
        put_int(base, source)
        put_char(base, b"}")
        if base.size > self.max_bytes:
            return None
        stored = taken_bytes(base)
        if not events:
            answers = waiting_answers(audiences, answered)
        known, had = held[1] is not None, bool(held[2])
        return _new(FlatImport, (key, self.entry(email, name, options), stored, known, had, answers, texts))

    cdef list held_of(self, object lists, str email):
        cdef list held
        cdef dict parts
        if not lists:
            return [{}, None, [], 0, 0, 0, 0, -1, "", ""]
        held = value_of(<dict>lists, self.list_id)
        if held is None or len(<dict>lists) > 1 or len(held) != HELD_PARTS or held[3] or held[5]:
            return None
        if held[1] is not None and held[1] != email:
            return None
        parts = held[0]
        if parts and (len(parts) > 1 or self.job_id not in parts or len(<list>parts[self.job_id]) != 3):
            return None
        return held

    cdef bint fold(self, dict audiences, dict fields, tuple event, int64_t answered) except -1:
        cdef tuple changes = <tuple>event[2], change
        cdef list known, entry
        cdef int64_t at
        cdef object name, value
        if len(changes) != 1 or event[3] is not None or event[8] is not None or event[9] is not None:
            return False
        change = <tuple>changes[0]
        at = change[2]
        if at < self.started:
            return False
        known = value_of(audiences, change[0])
        entry = [change[1], change[2], event[6], event[7], change[2]]
        if known is None:
            if <int64_t>change[1] != RANK_OF_ENTER:
                return False
        elif at <= <int64_t>known[1] or <int64_t>known[2] > answered:
            return False
        elif <int64_t>change[1] != RANK_OF_ENTER:
            entry.append(known[1])
        audiences[change[0]] = entry
        for name, value in (<dict?>event[4]).items():
            known = value_of(fields, name)
            if known is None or <int64_t>known[1] < at:
                fields[name] = [value, change[2]]
            elif <int64_t>known[1] == at:
                return False
        return True

    cdef bint put_values(self, dict fields) except -1:
        """Write the values as they are hashed, in both ways, and as entries of the request; False: one is left out."""
        cdef Buffer* values = &self.values
        cdef Buffer* held = &self.held
        cdef Buffer* body = &self.body
        cdef tuple mapping
        cdef list known
        cdef object written, value, text
        values.size = held.size = body.size = 0
        for mapping in self.mapped:
            known = value_of(fields, mapping[0])
            if known is None:
                continue
            value = known[0]
            if value is not None and not mapping[4]:
                return False
            if type(value) is str and mapping[2] == "Text" and 0 < len(<str>value) <= LONGEST_SHORT:
                written = (value,)
            else:
                written, left_out = texts_of_value(value, mapping[2], self.units)
                if left_out or written is None:
                    return False
                for text in written:
                    if len(text.encode()) > LONGEST:
                        return False
            put_value_of_field(values, mapping[1], mapping[2], written)
            put_value_of_field(held, mapping[1], None, written)
            put_entries(body, mapping[3], written)
        return True

    cdef str digest(self, str email, object name, list texts):
        cdef Buffer* base = &self.base
        base.size = 0
        put_char(base, b"[")
        put_text(base, email)
        put_char(base, b",")
        put_value(base, name)
        put_char(base, b",")
        put_text(base, self.custom_field)
        put_char(base, b",")
        put_texts(base, texts)
        put_raw(base, b",[", 2)
        put_all(base, &self.values)
        put_raw(base, b"],", 2)
        put_bytes(base, self.consent)
        put_char(base, b",")
        put_bytes(base, self.epoch)
        put_char(base, b"]")
        return digest_of(base)

    cdef str held_digest(self, str email, object name, list options):
        cdef Buffer* base = &self.base
        base.size = 0
        put_char(base, b"[")
        put_text(base, email)
        put_char(base, b",")
        put_value(base, name)
        put_raw(base, b",[[", 3)
        put_text(base, self.custom_field)
        put_char(base, b",")
        put_texts(base, [text for text, _ in options])
        put_raw(base, b"]],[", 4)
        put_all(base, &self.held)
        put_raw(base, b"]]", 2)
        return digest_of(base)

    cdef bytes entry(self, str email, object name, list options):
        """Return the person in the request."""
        cdef Buffer* base = &self.base
        cdef object encoded
        cdef bint more = False
        base.size = 0
        put_raw(base, b'{"EmailAddress":', 16)
        put_text(base, email)
        put_raw(base, b',"ConsentToTrack":', 18)
        put_bytes(base, self.consent)
        if name is not None:
            put_raw(base, b',"Name":', 8)
            put_text(base, name)
        put_raw(base, b',"CustomFields":[', 17)
        for _, encoded in options:
            if more:
                put_char(base, b",")
            put_bytes(base, encoded)
            more = True
        put_all(base, &self.body)
        put_raw(base, b"]}", 2)
        return taken_bytes(base)
