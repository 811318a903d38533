public import HTTPTypes

extension CheckoutTokenEndpoint {
    /// What an endpoint takes and gives.
    public struct Configuration: Sendable {
        /// The path that it answers.
        public var path: RoutePath
        /// The vendor's environment, which the page passes to its SDK.
        public var environment: String
        /// How long an answer may take.
        public var timeout: Duration
        /// The least life that a token has when it is handed out, if the vendor's tokens live that long.
        public var minimumRemaining: Duration
        /// Origins other than the server's own whose pages may call, as browsers send them.
        public var allowedOrigins: Set<String>
        /// The fields that their pages may send besides `Authorization`, `Content-Type`, `baggage`, `sentry-trace`, `traceparent` and
        /// `tracestate`. Those that browsers and proxies set are left out.
        public var allowedHeaders: [HTTPField.Name]
        /// How much it takes from whom.
        public var limits: RequestLimits
        /// What the log calls a principal; `nil` for a hash whose key is made anew in each process.
        public var pseudonym: (@Sendable (Principal) -> String)?

        /// Every parameter but the vendor's environment has a default.
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
