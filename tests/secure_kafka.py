"""One broker with a listener for each way to be secure, and who may do what denied by default.

SASL is SASL_SSL with every mechanism, MTLS is SSL with a client's certificate. The plain listener is the tests' own,
its user is a super user. A user's SCRAM name and the name in their certificate are the same, so access rules fit both.
"""

import datetime
import ipaddress
import json
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connectors.devkit.embedded_kafka.broker import EmbeddedKafka
from connectors.kafka.settings import KafkaSettings

PASSWORD = "canary-pa55word"
KEY_PASSWORD = "canary-k3y"
US = "us"
"""A user who may do everything, by any mechanism but PLAIN, which has its own."""
PLAIN_USER = "plain-user"
RECORD_DENIALS = "-Dorg.slf4j.simpleLogger.log.kafka.authorizer.logger=info"
DAY = datetime.timedelta(days=1)


class Authority:
    """Issues certificates into a directory: `NAME.pem` and `NAME.key`, its own in `ca.pem`."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = directory / "ca.pem"
        self.file.write_bytes(_pem(self._signed(self._name, self._key, authority=True)))

    def issue(self, name: str, address: str | None = None, key_password: str | None = None) -> tuple[Path, Path]:
        """Return the files of a certificate and its key; `address`: the IP address that it names."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate, secret = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        certificate.write_bytes(_pem(self._signed(subject, key, address=address)))
        sealed = (
            serialization.BestAvailableEncryption(key_password.encode())
            if key_password
            else serialization.NoEncryption()
        )
        secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed))
        return certificate, secret

    def _signed(
        self, subject: x509.Name, key: Any, *, authority: bool = False, address: str | None = None
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if address:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


class SecureKafka:
    """The broker, who issues its certificates, and settings for its users."""

    def __init__(self, directory: Path, *, record_denials: bool = False) -> None:
        """`record_denials`: the broker writes a line into its log for each request that no rule allows."""
        self.authority = Authority(directory / "tls")
        certificate, key = self.authority.issue("broker", "127.0.0.1")
        keystore = directory / "tls" / "broker-store.pem"
        keystore.write_bytes(key.read_bytes() + certificate.read_bytes())
        self.broker = EmbeddedKafka(
            directory / "broker",
            properties=broker_side(keystore, self.authority.file),
            listeners=["SASL", "MTLS"],
            quick_jit=True,
            java_options=[RECORD_DENIALS] if record_denials else [],
        )
        self._users: set[str] = set()

    def __enter__(self) -> Self:
        self.broker.start()
        self.admin = AdminClient({"bootstrap.servers": self.broker.bootstrap_servers})
        return self

    def __exit__(self, *_: object) -> None:
        self.broker.close()

    def scram(self, user: str, mechanism: str = "SCRAM-SHA-256", **settings: Any) -> dict[str, Any]:
        """Return the settings of a user with a password; the broker knows this user from then on."""
        if user not in self._users:
            self._users.add(user)
            self._add(user)
        return self.sasl(mechanism, sasl_username=user, **settings)

    def sasl(self, mechanism: str, **settings: Any) -> dict[str, Any]:
        """Return the settings for the listener SASL."""
        return {
            "bootstrap_servers": self.broker.address_of("SASL"),
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": mechanism,
            "sasl_password": PASSWORD,
            "ssl_ca_location": self.authority.file,
            **settings,
        }

    def mtls(self, user: str, **settings: Any) -> dict[str, Any]:
        """Return the settings of a user with a certificate."""
        certificate, key = self.authority.issue(user, key_password=KEY_PASSWORD)
        return {
            "bootstrap_servers": self.broker.address_of("MTLS"),
            "security_protocol": "SSL",
            "ssl_ca_location": self.authority.file,
            "ssl_certificate_location": certificate,
            "ssl_key_location": key,
            "ssl_key_password": KEY_PASSWORD,
            **settings,
        }

    def _add(self, user: str) -> None:
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            info = ScramCredentialInfo(mechanism, 4096)
            change = UserScramCredentialUpsertion(user, info, PASSWORD.encode())
            self.admin.alter_user_scram_credentials([change])[user].result(30)


def kafka_of(values: Mapping[str, Any]) -> KafkaSettings:
    """Return settings from these values alone."""
    return KafkaSettings(_env_file=None, **values)


def environment_of(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the values as a process's environment."""
    return {f"KAFKA_{name.upper()}": str(value) for name, value in values.items()}


def broker_side(keystore: Path, authority: Path) -> dict[str, str]:
    """Return the broker's properties."""
    module = "org.apache.kafka.common.security"
    return {
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL,MTLS:SSL",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:ANONYMOUS;User:{US};User:{PLAIN_USER}",
        "allow.everyone.if.no.acl.found": "false",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keystore),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority),
        "listener.name.mtls.ssl.client.auth": "required",
        "listener.name.mtls.ssl.principal.mapping.rules": r"RULE:^CN=([^,]+).*$/$1/",
        "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
        "listener.name.sasl.plain.sasl.jaas.config": (
            f'{module}.plain.PlainLoginModule required user_{PLAIN_USER}="{PASSWORD}";'
        ),
        "listener.name.sasl.scram-sha-256.sasl.jaas.config": f"{module}.scram.ScramLoginModule required;",
        "listener.name.sasl.scram-sha-512.sasl.jaas.config": f"{module}.scram.ScramLoginModule required;",
        "listener.name.sasl.oauthbearer.sasl.jaas.config": (
            f'{module}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";'
        ),
    }


@contextmanager
def token_endpoint() -> Iterator[str]:
    """Yield the URL of an authorization server that issues tokens to whoever has the password."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            user, _, password = decoded(self.headers["Authorization"]).partition(":")
            granted = password == PASSWORD
            body = (
                {"access_token": unsecured_token(user), "expires_in": 600} if granted else {"error": "invalid_client"}
            )
            text = json.dumps(body).encode()
            self.send_response(200 if granted else 401)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/token"
        finally:
            server.shutdown()


def decoded(header: str) -> str:
    """Return the text of a Basic header."""
    from base64 import b64decode

    return b64decode(header.removeprefix("Basic ")).decode()


def unsecured_token(user: str) -> str:
    """Return a token without a signature, which brokers accept that have no other validation."""
    now = datetime.datetime.now(datetime.UTC).timestamp()
    parts = ({"alg": "none"}, {"sub": user, "iat": now, "exp": now + 600})
    return ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."
