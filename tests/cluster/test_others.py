"""Ray Data's own processors, which ask an HTTP server, with `vlm serve` as that server."""
