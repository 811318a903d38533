#if JWTSupport
public import FoundationEssentials
import HTTPTypes
public import TokenBroker

/// A miniature of the vendor's API, with the paths, errors, rate limit and token formats of Alternative Payments.
///
/// Its ``endpoints`` can be mounted on any server. It knows one client credential and a small catalogue: customer
/// `cus_demo` owns every invoice whose id begins with `inv_`, and customer `cus_other` every invoice whose id begins
/// with `oth_`. Access tokens are opaque. Checkout tokens are JWTs, signed with a key that is made at startup. `POST
/// /checkout/v1/payments`, which the vendor does not document, pays a session's invoice once, for demonstrations.
public struct Sandbox: Sendable {
    /// The routes to mount.
    public let endpoints: EndpointSet

    /// Creates a sandbox.
    ///
    /// - Parameters:
    ///   - configuration: The settings.
    ///   - now: The vendor's clock, for expiry, the rate limit and the `Date` of responses.
    public init(configuration: Configuration = .init(), now: @escaping @Sendable () -> Date = { Date() }) async {
        let vendor = SandboxVendor(configuration: configuration, keys: await CheckoutTokenKeys(), now: now)
        self.endpoints = EndpointSet(vendor.routes())
    }

    /// The settings of a sandbox.
    public struct Configuration: Sendable {
        /// The only client id that `/oauth/token` accepts.
        public var clientID: String
        /// The client's secret.
        public var clientSecret: String
        /// The lifetime of access tokens. Responses state it in whole seconds.
        public var accessTokenLifetime: Duration
        /// The lifetime of checkout tokens, rounded up to whole seconds.
        public var checkoutTokenLifetime: Duration
        /// The number of calls, to all paths together, that are served in any second. Further calls get a 429. 0 means
        /// no limit.
        public var requestsPerSecond: Int
        /// Whether `/v1/checkout-auth/init` exists, as documented. Otherwise it responds with 404, as reported from the
        /// field. The path without `/v1` always exists.
        public var servesV1: Bool

        /// Creates a configuration.
        public init(
            clientID: String = "sandbox-client", clientSecret: String = "sandbox-secret",
            accessTokenLifetime: Duration = .seconds(3600), checkoutTokenLifetime: Duration = .seconds(900),
            requestsPerSecond: Int = 5, servesV1: Bool = true
        ) {
            self.clientID = clientID
            self.clientSecret = clientSecret
            self.accessTokenLifetime = accessTokenLifetime
            self.checkoutTokenLifetime = checkoutTokenLifetime
            self.requestsPerSecond = requestsPerSecond
            self.servesV1 = servesV1
        }
    }
}
#endif
