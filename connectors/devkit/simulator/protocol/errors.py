"""Campaign Monitor's errors: code, HTTP status and message."""

from typing import Any

MESSAGES: dict[int, str] = {
    1: "Invalid Email Address",
    5: "Invalid Date",
    60: "You do not have the required permission to access this resource",
    100: "Invalid API Key",
    102: "Invalid ClientID",
    120: "Invalid OAuth Token",
    121: "Expired OAuth Token",
    122: "Revoked OAuth Token",
    172: "Client Creation Limit",
    176: "Email address not in suppression list",
    201: "Already subscribed",
    203: "Subscriber not in list or has already been removed.",
    204: "In Suppression List",
    205: "Is Deleted",
    206: "Is Unsubscribed",
    207: "Is Bounced",
    208: "Is Unconfirmed",
    209: "Too many subscribers in this batch. You can only add 1000 subscribers in one call",
    210: "Subscriber Import had some failures",
    211: "Invalid New Email Address",
    212: "No subscribers were provided in this batch",
    214: "Please provide a consent to track value",
    215: "Please provide a valid consent to track value",
    220: "Invalid mobile number",
    221: "Invalid email address and mobile number",
    250: "Duplicate list title",
    251: "List Title Empty",
    252: "Cannot delete a list attached to at least one campaign draft",
    253: "Invalid Key. Keys must be surrounded with [ ]",
    254: "Invalid Field Name",
    255: "The Field Name already exists in this list",
    256: "Options defined for Text or Number Field",
    257: "No options defined for Multi-Valued field",
    259: "Data type is incorrect",
    261: "Invalid List Unsubscribe Setting",
    271: "Invalid SegmentID",
    272: "Segment Has Campaigns",
    273: "Segment Title Empty",
    275: "Duplicate Segment Title",
    277: "Invalid Segment Rules",
    278: "Segment calculation is in progress",
    283: "Segment Limits Reached",
    400: "Failed to deserialize your request. Please check the documentation and try again.\nFields in error: ",
    403: "Not allowed for a Non-agency Customer",
    404: "Not Found",
    429: "Rate limit exceeded",
    500: "Sorry, we've run into a problem",
    601: "Invalid Webhook URL",
    602: "Invalid Webhook Format",
    603: "Invalid Webhook Event",
    610: "The webhook request has failed",
    800: "Invalid page number",
    801: "Invalid page size",
    802: "Invalid order field",
    803: "Invalid order direction",
    920: "Invalid from date",
    922: "Invalid to date",
    927: "Invalid date range",
    3000: "Invalid Journey ID",
    3002: "Invalid Journey Email ID",
}

_STATUS = {60: 401, 100: 401, 102: 401, 120: 401, 121: 401, 122: 401, 403: 403, 404: 404, 429: 429, 500: 500}


class SimulatedApiError(Exception):
    """An error answer. The HTTP status follows from the code; most are 400."""

    def __init__(self, code: int, message: str | None = None, result: Any = None) -> None:
        self.code = code
        self.status = _STATUS.get(code, 400)
        self.message = MESSAGES[code] if message is None else message
        self.result = result
        super().__init__(f"{code}: {self.message}")

    def body(self) -> dict[str, Any]:
        """Return what the caller gets to read."""
        answer: dict[str, Any] = {"Code": self.code, "Message": self.message}
        if self.result is not None:
            answer["ResultData"] = self.result
        return answer


def undeserialisable(argument: str) -> SimulatedApiError:
    """Return the error for a body that is no JSON or has a wrong type, naming the argument as the API does."""
    return SimulatedApiError(400, MESSAGES[400] + argument)
