"""Event log and journal on Apache Kafka: many dispatchers, one log. Nothing else imports aiokafka."""
