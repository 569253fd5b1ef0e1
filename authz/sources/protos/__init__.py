"""gRPC services: .proto files and descriptor sets, with or without a google.api.Service YAML."""
