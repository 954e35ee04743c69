"""The one table of settings: an attribute `data_dir` is the variable `DISPATCHER_DATA_DIR`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from dispatcher.settings.kinds import (
    About,
    Address,
    Endpoint,
    Names,
    OptionalPrefix,
    Size,
    StoreUrl,
    TopicPrefix,
    WebUrl,
    split_address,
)
from dispatcher.settings.sizes import GI, MI

PREFIX = "DISPATCHER_"


class Settings(BaseModel):
    """Everything an operator may change. Sizes in bytes, times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    listen: Annotated[
        Address, About("HOST:PORT to listen on; 0.0.0.0 as the host means every interface.", ("listen_addr",))
    ] = "127.0.0.1:8111"
    data_dir: Annotated[Path, About("Folder of everything this server keeps; made when missing.")] = Path("data")
    event_log: Annotated[
        Literal["sqlite", "memory"],
        About("Where events are kept without Kafka: sqlite survives power loss, memory forgets everything at the end."),
    ] = "sqlite"
    store: Annotated[
        StoreUrl,
        About(
            "URL of the store of file contents, such as file:///srv/azul; empty means streams in the data folder.",
            ("DISPATCHER_STORE_LOCAL_PATH", "streams.local.path"),
            hides=True,
        ),
    ] = ""
    kafka_endpoint: Annotated[
        Endpoint,
        About(
            "HOST:PORT of Kafka, several with commas between; empty means that events are kept in the data folder.",
            ("events.kafka.endpoint",),
        ),
    ] = ""
    kafka_security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
        About("How to speak to Kafka: SSL encrypts, SASL proves who we are."),
    ] = "PLAINTEXT"
    kafka_sasl_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], About("How a name and password are shown to Kafka.")
    ] = "PLAIN"
    kafka_sasl_username: Annotated[str, About("Name to show to Kafka.")] = ""
    kafka_sasl_password: Annotated[str, About("Password to show to Kafka.", secret=True)] = ""
    kafka_ca_file: Annotated[
        str, About("PEM file of the certificates that Kafka's may be signed with; empty means those of the system.")
    ] = ""
    kafka_cert_file: Annotated[str, About("PEM file of the certificate to show to Kafka; empty means none.")] = ""
    kafka_key_file: Annotated[
        str, About("PEM file of that certificate's key; empty means that it is in the same file.")
    ] = ""
    kafka_connect_retries: Annotated[
        int,
        Field(ge=0, le=1000),
        About(
            "Times that the first connection to Kafka is tried again, at most 5 seconds apart.",
            ("DISPATCHER_INIT_KAFKA_RETRIES", "events.kafka.connect_retries"),
        ),
    ] = 10
    kafka_compression: Annotated[
        Literal["lz4", "gzip", "none"], About("How records are packed on their way to Kafka.")
    ] = "lz4"
    kafka_fetch_min_bytes: Annotated[
        Size,
        Field(ge=1, le=16 * MI),
        About(
            "Bytes that Kafka waits for before it answers the tail: 1 is quick, 64Ki saves CPU with many partitions."
        ),
    ] = 1
    kafka_fetch_wait_ms: Annotated[
        int, Field(ge=10, le=5000), About("Longest time in milliseconds that Kafka waits for these bytes.")
    ] = 100
    kafka_session_seconds: Annotated[
        float,
        Field(ge=1, le=300),
        About("Seconds without a sign of life after which other dispatchers take over the subscribers of this one."),
    ] = 6
    kafka_lag_seconds: Annotated[
        float,
        Field(ge=0, le=86_400),
        About("Seconds between two looks at how far plugins are, for tools that show the lag of groups; 0 shows none."),
    ] = 60
    advertised_url: Annotated[
        WebUrl,
        About(
            "URL at which other dispatchers on the same Kafka reach this one; empty means the address from which "
            "it reaches Kafka."
        ),
    ] = ""
    kafka_topic_prefix: Annotated[
        TopicPrefix, About("The part of every topic name after azul.", ("events.kafka.topic_prefix",))
    ] = "test01"
    global_partition_count: Annotated[
        int,
        Field(ge=1, le=1000),
        About("Partitions of a topic for which nothing else says a number.", ("events.global_partition_count",)),
    ] = 1
    global_replica_count: Annotated[
        int,
        Field(ge=1, le=100),
        About(
            "Copies that Kafka keeps of a topic for which nothing else says a number.", ("events.global_replica_count",)
        ),
    ] = 1
    ignore_topic_mismatch: Annotated[
        bool,
        About(
            "Whether to start when topics in Kafka differ from these settings; they are left as they are.",
            ("events.ignore_topic_mismatch",),
        ),
    ] = True
    sources_helm: Annotated[
        str, About("YAML text of the sources: their expiry, topics and descriptions.", ("events.sources",))
    ] = ""
    sources_strict: Annotated[
        bool, About("Whether events of a source that the sources YAML does not name are refused.")
    ] = True
    topics_yaml: Annotated[
        str, About("YAML text of a list of topics whose configuration differs.", ("events.topics",))
    ] = ""
    reprocess_previous_prefix: Annotated[
        OptionalPrefix,
        About(
            "The topic prefix whose topics `dispatcher reprocess` copies to the current one.",
            ("events.reprocess.previous_prefix",),
        ),
    ] = ""
    reprocess_sources: Annotated[
        bool,
        About(
            "Whether `dispatcher reprocess` copies topics of sources only, and no system topics.",
            ("events.reprocess.upgrade_sources",),
        ),
    ] = False
    reprocess_system: Annotated[
        bool,
        About(
            "Whether `dispatcher reprocess` copies system topics only, and none of sources.",
            ("events.reprocess.upgrade_system",),
        ),
    ] = False
    reprocess_include_system: Annotated[
        Names,
        About(
            "System topics that `dispatcher reprocess` copies, such as delete, with commas between; empty means all.",
            ("events.reprocess.include_system",),
        ),
    ] = ()
    reprocess_deny_topics: Annotated[
        Names,
        About(
            "Topics that `dispatcher reprocess` leaves out, by their full names, with commas between.",
            ("events.reprocess.deny_topics",),
        ),
    ] = ()
    message_max_bytes: Annotated[
        Size,
        Field(ge=1024),
        About(
            "Largest event that is accepted.", ("DISPATCHER_KAFKA_MESSAGE_MAX_BYTES", "events.kafka.message_max_bytes")
        ),
    ] = 3 * MI
    post_max_bytes: Annotated[Size, Field(ge=1024), About("Largest body of a POST of events.")] = 256 * MI
    upload_max_bytes: Annotated[Size, About("Largest file that may be uploaded; 0 means no limit.")] = 0
    async_ack: Annotated[
        bool,
        About("Whether a POST without sync is answered before its events are durable: faster, but a crash loses some."),
    ] = False
    api_event_fetch_limit: Annotated[
        int, Field(ge=1, le=100_000), About("Most events in one fetch.", ("events.api_event_fetch_limit",))
    ] = 1000
    api_default_event_wait: Annotated[
        int,
        Field(ge=0, le=300),
        About("Seconds a fetch waits when it does not say how long.", ("events.api_default_event_wait",)),
    ] = 5
    lease_seconds: Annotated[
        float,
        Field(gt=0, allow_inf_nan=False),
        About(
            "Seconds after which an event without a final status or a heartbeat is handed out again.",
            ("events.lost_tasks_after_minutes",),
        ),
    ] = 1800
    max_attempts: Annotated[
        int, Field(ge=1, le=100), About("Times an event is handed out before it becomes a dead letter.")
    ] = 3
    allow_stream_delete: Annotated[
        bool, About("Whether DELETE removes stored files.", ("streams.api_allow_delete",))
    ] = False
    parser_workers: Annotated[
        int, Field(ge=1, le=256), About("Processes that run native parsers over uploaded files.")
    ] = 2
    parser_memory_bytes: Annotated[Size, Field(ge=64 * MI), About("Most memory that one parser process may use.")] = (
        1 * GI
    )
    parser_seconds: Annotated[
        float,
        Field(gt=0, allow_inf_nan=False),
        About("Longest time that all parsers together may take for one file; plugins give an upload 15 seconds."),
    ] = 12
    hooks_required: Annotated[
        Names, About("Hook packages, with commas between, without which the server does not start.")
    ] = ()
    hooks_disabled: Annotated[Names, About("Hook packages, with commas between, that are not loaded.")] = ()
    hooks_installed: Annotated[
        bool, About("Whether hook packages that are installed beside the server are loaded by themselves.")
    ] = True
    hooks_dir: Annotated[
        str, About("Folder in which each Python file is a hook package; empty means that there is none.")
    ] = ""
    hooks_call_seconds: Annotated[
        float,
        Field(gt=0, allow_inf_nan=False),
        About("Longest time that one call of a hook package's object may take, unless the object says otherwise."),
    ] = 5
    hooks_options: Annotated[
        str,
        About(
            "YAML text of the options of hook packages: their names, and below each its options. A variable "
            "DISPATCHER_HOOK_<PACKAGE>_<OPTION> says the same for one option and comes first.",
            hides=True,
        ),
    ] = ""
    drain_seconds: Annotated[
        float,
        Field(ge=0, allow_inf_nan=False),
        About("Longest time that running requests get to end when the server stops."),
    ] = 10
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"],
        About("Least serious message that is logged.", ("DISPATCHER_LOG", "bed.log_level")),
    ] = "INFO"
    log_format: Annotated[
        Literal["text", "json"],
        About("How log lines look: text for people, json for machines.", ("DISPATCHER_LOG_PRETTY", "bed.log_pretty")),
    ] = "text"

    _hook_variables: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @property
    def hook_variables(self) -> Mapping[str, str]:
        """The variables DISPATCHER_HOOK_<PACKAGE>_<OPTION>, by their full names; only packages know what they mean."""
        return self._hook_variables

    def with_hook_variables(self, variables: Mapping[str, str]) -> Self:
        """The same settings with these variables for hook packages."""
        copy = self.model_copy()
        copy._hook_variables = dict(variables)
        return copy

    @property
    def host(self) -> str:
        return split_address(self.listen)[0]

    @property
    def port(self) -> int:
        """0 lets the system choose."""
        return split_address(self.listen)[1]

    @property
    def store_url(self) -> str:
        """`store`, or the default folder below the data folder as a file URL."""
        return self.store or (self.data_dir.absolute() / "streams").as_uri()


def env_name(attribute: str) -> str:
    return PREFIX + attribute.upper()


def about(attribute: str) -> About:
    """What the table says of one setting."""
    metadata = Settings.model_fields[attribute].metadata
    return next(entry for entry in metadata if isinstance(entry, About))
