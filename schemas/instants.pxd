# Instants in UTC, as programs write them: read from bytes.

from libc.stdint cimport int64_t, uint8_t


cdef inline int number(const uint8_t* text, int size) noexcept:
    """Return a number of digits; negative when something else is there."""
    cdef int at, found = 0
    for at in range(size):
        if text[at] < 48 or text[at] > 57:
            return -1
        found = found * 10 + text[at] - 48
    return found


cdef inline int64_t millis_in(const uint8_t* at, Py_ssize_t size) noexcept:
    """Return the milliseconds of `YYYY-MM-DDTHH:MM:SS`, with 3 or 6 digits of a second and `Z` or +00:00, or none;
    -1: another form, or no instant."""
    cdef int year, month, day, hour, minute, second, digits, micros = 0
    cdef bint leap
    cdef int64_t total
    if size < 19 or at[4] != 45 or at[7] != 45 or at[10] != 84 or at[13] != 58 or at[16] != 58:
        return -1
    year, month, day = number(at, 4), number(at + 5, 2), number(at + 8, 2)
    hour, minute, second = number(at + 11, 2), number(at + 14, 2), number(at + 17, 2)
    if not (1970 <= year < 2200 and 1 <= month <= 12 and day >= 1):
        return -1
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60):
        return -1
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if day > (28 + leap if month == 2 else 30 + ((month + (month >> 3)) & 1)):
        return -1
    at, size = at + 19, size - 19
    if size and at[0] == 46:
        digits = 3 if size < 7 or at[4] < 48 or at[4] > 57 else 6
        if size <= digits or (micros := number(at + 1, digits)) < 0:
            return -1
        if digits == 3:
            micros *= 1000
        at, size = at + digits + 1, size - digits - 1
    if size and not (size == 1 and at[0] == 90):
        if size != 6 or at[0] != 43 or at[3] != 58 or number(at + 1, 2) != 0 or number(at + 4, 2) != 0:
            return -1
    total = 365 * (year - 1970) + (year - 1969) // 4 - (year - 1901) // 100 + (year - 1601) // 400
    # The days before a month, as if each February had 30.
    total += (367 * month - 362) // 12 + day - 1
    if month > 2:
        total -= 1 if leap else 2
    total = ((total * 24 + hour) * 60 + minute) * 60 + second
    # As `int(datetime.timestamp() * 1000)` rounds.
    return <int64_t>(<double>(total * 1000000 + micros) / 1e6 * 1000)
