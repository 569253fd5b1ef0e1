"""RPCs in Envoy: what turns JSON into them, what keeps each to the operation that was judged, and gRPC-Web."""
