import HTTPTypes
public import TokenBroker

/// The endpoint `GET /metrics`, from which Prometheus reads the metrics of the process.
///
/// ```swift
/// let metrics = PrometheusMetricsFactory()
/// MetricsSystem.bootstrap(metrics)
/// var endpoints = broker.endpoints
/// endpoints.add(MetricsEndpoint(metrics))
/// ```
///
/// The metrics hold no secrets and no ids of customers or invoices, but they tell everybody who can reach the endpoint
/// how busy the server is. Mount it where only your scraper gets to, as the program `token-broker` does with a listener
/// of its own.
public struct MetricsEndpoint: Endpoint {
    /// The path of the endpoint.
    public let path: RoutePath
    private let metrics: PrometheusMetricsFactory

    /// Creates an endpoint.
    ///
    /// - Parameters:
    ///   - metrics: The backend that holds the metrics. Bootstrap swift-metrics with it before you compose a broker.
    ///   - path: The path of the endpoint.
    public init(_ metrics: PrometheusMetricsFactory, path: RoutePath = "/metrics") {
        self.metrics = metrics
        self.path = path
    }

    /// Returns the metrics in the format that the client prefers: OpenMetrics, or the text format of Prometheus.
    public func respond(to request: EndpointRequest) async -> EndpointResponse {
        guard request.head.method == .get || request.head.method == .head else {
            return EndpointResponse(status: .methodNotAllowed, headerFields: [.allow: "GET, HEAD"])
        }
        let format = ExpositionFormat(accept: request.head.headerFields[.accept])
        return EndpointResponse(
            status: .ok, headerFields: [.contentType: format.contentType, .cacheControl: "no-store", .vary: "Accept"],
            body: metrics.text(format)
        )
    }
}
