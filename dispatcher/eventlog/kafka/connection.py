"""Where the brokers are and how to prove to them who we are."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dispatcher.errors import StartupError

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


@dataclass(frozen=True)
class Connection:
    """What every client of one cluster needs."""

    endpoint: str
    """Bootstrap servers, HOST:PORT with commas between."""
    protocol: Protocol = "PLAINTEXT"
    mechanism: Mechanism = "PLAIN"
    username: str = ""
    password: str = ""
    ca_file: Path | None = None
    """Certificates to trust, as PEM; None trusts those of the system."""
    cert_file: Path | None = None
    """Our own certificate, as PEM, with its key unless `key_file` has that."""
    key_file: Path | None = None

    def options(self) -> dict[str, Any]:
        """Keywords of any aiokafka client. Raises StartupError when something is missing or cannot be read."""
        options: dict[str, Any] = {
            "bootstrap_servers": [server.strip() for server in self.endpoint.split(",") if server.strip()],
            "security_protocol": self.protocol,
        }
        if self.protocol.startswith("SASL"):
            options |= self._sasl()
        if self.protocol.endswith("SSL"):
            options["ssl_context"] = self._ssl()
        return options

    def _sasl(self) -> dict[str, str]:
        if not self.username or not self.password:
            raise StartupError(
                f"{self.protocol} needs DISPATCHER_KAFKA_SASL_USERNAME and DISPATCHER_KAFKA_SASL_PASSWORD"
            )
        return {
            "sasl_mechanism": self.mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password,
        }

    def _ssl(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file is not None:
                context.load_cert_chain(self.cert_file, self.key_file)
        except (OSError, ValueError) as problem:
            files = ", ".join(str(file) for file in (self.ca_file, self.cert_file, self.key_file) if file)
            raise StartupError(f"the certificates for Kafka cannot be used ({files}): {problem}") from None
        return context
