"""Model to Envoy resources, and the ADS server that delivers them. It knows neither SQL nor how calls are decided."""
