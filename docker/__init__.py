"""Images, the compose file, and what generates the files of Prometheus and Grafana."""
