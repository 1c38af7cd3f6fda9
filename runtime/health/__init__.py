"""How a run is: health endpoint, metrics, log, systemd, heat. Begin with `monitor.Monitor`."""
