"""Songs in RabbitMQ: the adapters of `msaas.queue.songs`. pika is imported here only."""
