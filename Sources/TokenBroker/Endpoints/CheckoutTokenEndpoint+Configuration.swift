public import HTTPTypes

extension CheckoutTokenEndpoint {
    /// The configuration of an endpoint.
    public struct Configuration: Sendable {
        /// The path of the endpoint.
        public var path: RoutePath
        /// The vendor's environment, which the page passes to the vendor's SDK.
        public var environment: String
        /// How long a response may take.
        public var timeout: Duration
        /// The minimum remaining lifetime of a token when it is handed out, if the vendor's tokens live that long.
        public var minimumRemaining: Duration
        /// The origins, besides the server's own, whose pages may call the endpoint. Each is written as browsers send
        /// it.
        public var allowedOrigins: Set<String>
        /// The fields that pages of these origins may send besides `Authorization`, `Content-Type`, `baggage`,
        /// `sentry-trace`, `traceparent` and `tracestate`. Fields that browsers and proxies set are left out.
        public var allowedHeaders: [HTTPField.Name]
        /// The limits on requests.
        public var limits: RequestLimits
        /// Returns the name of a principal in the log; `nil` for a hash whose key is random in each process.
        public var pseudonym: (@Sendable (Principal) -> String)?

        /// Creates a configuration. Every parameter except the vendor's environment has a default.
        public init(
            environment: String, path: RoutePath = "/api/checkout-token", timeout: Duration = .seconds(8),
            minimumRemaining: Duration = .seconds(120), allowedOrigins: Set<String> = [],
            allowedHeaders: [HTTPField.Name] = [], limits: RequestLimits = RequestLimits(),
            pseudonym: (@Sendable (Principal) -> String)? = nil
        ) {
            self.environment = environment
            self.path = path
            self.timeout = timeout
            self.minimumRemaining = minimumRemaining
            self.allowedOrigins = allowedOrigins
            self.allowedHeaders = allowedHeaders
            self.limits = limits
            self.pseudonym = pseudonym
        }
    }
}
