"""Why brokers refuse a client, as one sentence that names the setting.

librdkafka reports the cause of a failed connection to a callback only; the call that waits for an answer ends with
"transport failure". So whoever asks at a start collects what was reported meanwhile, and `sentence` chooses.
"""

import socket
import ssl
from collections.abc import Sequence

from confluent_kafka import KafkaError

from connectors.kafka.access import KafkaAccess

CLIENT_CERTIFICATE = ("alert bad certificate", "alert certificate", "alert unknown ca", "alert handshake failure")
"""What a broker answers that asks for a client's certificate and got none, or one that it does not trust."""

_PASSING = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._RESOLVE,
        # Leaders change, and a topic that was just created has none for a moment.
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        # So does a broker that has just started, or got the group from another one.
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
"""What the client recovers from by itself, beside what it calls retriable."""


class ClientReports:
    """Takes the place of `error_cb`: keeps what a client reports while its owner waits for an answer."""

    def __init__(self) -> None:
        self.errors: list[KafkaError] = []

    def __call__(self, error: KafkaError) -> None:
        self.errors.append(error)

    def sentence(self, settings: KafkaAccess) -> str | None:
        """Return the cause of the newest refusal, None when nothing was reported that has one."""
        return next((text for error in reversed(self.errors) if (text := sentence(error, settings))), None)


def sentence(error: KafkaError, settings: KafkaAccess) -> str | None:
    """Return the sentence for an error that a client reports; None for those that may pass. Pure."""
    detail = error.str()
    if error.code() == KafkaError._AUTHENTICATION:
        return _not_logged_in(detail, settings)
    if any(alert in detail for alert in CLIENT_CERTIFICATE):
        if settings.ssl_certificate_location is None:
            return (
                "The Kafka broker asks for a client's certificate, and KAFKA_SSL_CERTIFICATE_LOCATION and "
                "KAFKA_SSL_KEY_LOCATION are not set."
            )
        return (
            "The Kafka broker refused our certificate: is KAFKA_SSL_CERTIFICATE_LOCATION signed by an authority that "
            "the broker trusts, and has it not expired?"
        )
    if error.code() == KafkaError._SSL and "certificate verify failed" in detail:
        return (
            "The Kafka broker's certificate was refused: is KAFKA_SSL_CA_LOCATION the file of the authority that "
            "signed it, and does it name the host (KAFKA_SSL_CHECK_HOSTNAME)?"
        )
    if "PLAINTEXT broker listener" in detail:
        return _other_protocol(settings)
    return None


def _not_logged_in(detail: str, settings: KafkaAccess) -> str:
    if "nsupported" in detail and "mechanism" in detail:
        _, _, offered = detail.partition("supported mechanisms: ")
        offer = f": it offers {offered.split(' (')[0]}" if offered else ""
        return f"The Kafka broker does not take KAFKA_SASL_MECHANISM={settings.sasl_mechanism}{offer}."
    return (
        f"The Kafka broker refused the credentials ({settings.sasl_mechanism}): are KAFKA_SASL_USERNAME, "
        "KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM right?"
    )


def _other_protocol(settings: KafkaAccess) -> str:
    return (
        f"A Kafka broker at {settings.bootstrap_servers} closes our connections: is KAFKA_SECURITY_PROTOCOL="
        f"{settings.security_protocol} the protocol of that listener?"
    )


def closed_by_broker(errors: Sequence[KafkaError], settings: KafkaAccess) -> str | None:
    """Return the sentence for a broker that can be connected to and is down for the client, else None. Pure."""
    down = any(error.code() == KafkaError._ALL_BROKERS_DOWN for error in errors)
    return _other_protocol(settings) if down else None


def handshake_refusal(connection: socket.socket, host: str, settings: KafkaAccess) -> str | None:
    """Return why TLS with a broker cannot begin, None when it can or is not asked for. Ends the connection.

    librdkafka has one text for an unknown authority and for a wrong host; this one names the setting.
    """
    context = settings.ssl_context()
    if context is None:
        return None
    try:
        with context.wrap_socket(connection, server_hostname=host):
            return None
    except ssl.SSLCertVerificationError as failure:
        if "mismatch" in failure.verify_message:
            return (
                f"The Kafka broker's certificate does not name {host}: use a name of the certificate in "
                "KAFKA_BOOTSTRAP_SERVERS (and in the broker's advertised.listeners), or set "
                "KAFKA_SSL_CHECK_HOSTNAME=false."
            )
        return (
            f"The certificate of the Kafka broker at {host} was refused ({failure.verify_message}): is "
            "KAFKA_SSL_CA_LOCATION the file of the authority that signed it?"
        )
    except ssl.SSLError as failure:
        return sentence_of_alert(failure, settings)
    except TimeoutError:
        return None
    except OSError:
        return _other_protocol(settings)


def sentence_of_alert(failure: ssl.SSLError, settings: KafkaAccess) -> str:
    """Return the sentence for a handshake that ended in another way. Pure."""
    asked = sentence(KafkaError(KafkaError._SSL, str(failure).lower().replace("_", " ")), settings)
    return asked or _other_protocol(settings)


def passes(error: KafkaError) -> bool:
    """Return whether an error ends by itself, so that what was asked for can be asked for again. Pure."""
    return error.retriable() or error.code() in _PASSING
