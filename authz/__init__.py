"""Cloud Endpoints, self-hosted: an OpenAPI file in, a guarded API on Envoy out.

The nouns, the same words in code, command line, SQL and README:

* **ServiceConfig** is what one or more documents mean, under a config id.
* **Operation** is one method on one path template.
* **Requirement** says how a caller must prove itself.
* **Metric**, **Limit** and **Cost**: what is counted, how much is allowed, what one call takes.
* **Consumer** is who is counted, a project or an app.
* **ApiKey** is a consumer's secret, kept as its SHA-256.
* **Rollout** says which configs of a service are live, in which shares.
* **Inventory** is all of it at one **Revision** of the store.
* **Rulebook** is the Inventory compiled for look-ups; **Snapshot** is the Inventory as Envoy resources.
* **Call** is one request as Envoy describes it; a **Verdict** says whether it may pass.
* **Sidecar** is what answers Envoy's questions: one process, or a **Leader** with its **Workers**.
* **Ask** is one question of the rate limit filter; **Charges** what it costs; **Answer** what is left.
"""

__version__ = "0.1.0"
