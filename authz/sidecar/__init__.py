"""What answers Check and RateLimit: the parts of one process, and several processes on one machine."""
