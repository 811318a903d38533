#if JWTSupport
public import FoundationEssentials
import HTTPTypes
public import TokenBroker

/// The vendor's API in miniature: the paths, errors, rate limit and token shapes of Alternative Payments, as an
/// ``EndpointSet`` to be mounted on any server.
///
/// It knows one API key and a small catalogue: customer `cus_demo` owns every invoice whose id begins with `inv_`,
/// customer `cus_other` every one that begins with `oth_`. Access tokens are opaque, checkout tokens are JWTs signed
/// with a key made at start. `POST /checkout/v1/payments`, which the vendor does not document, pays a session's invoice
/// once, for show.
public struct Sandbox: Sendable {
    /// The routes, to be mounted as they are.
    public let endpoints: EndpointSet

    /// - Parameters:
    ///   - configuration: How it behaves.
    ///   - now: The vendor's clock, for expiry, the rate limit and the `Date` of answers.
    public init(configuration: Configuration = .init(), now: @escaping @Sendable () -> Date = { Date() }) async {
        let vendor = SandboxVendor(configuration: configuration, keys: await CheckoutTokenKeys(), now: now)
        self.endpoints = EndpointSet(vendor.routes())
    }

    /// How a sandbox behaves.
    public struct Configuration: Sendable {
        /// The one client id that is accepted at `/oauth/token`.
        public var clientID: String
        /// The secret that belongs to it.
        public var clientSecret: String
        /// How long access tokens live; whole seconds are told to the client.
        public var accessTokenLifetime: Duration
        /// How long checkout tokens live.
        public var checkoutTokenLifetime: Duration
        /// How many calls are answered in any second, all paths together; further ones get a 429. 0 for no limit.
        public var requestsPerSecond: Int
        /// Whether `/v1/checkout-auth/init` is there, as documented; otherwise it answers 404, as reported from the
        /// field. The path without `/v1` is always there.
        public var servesV1: Bool

        /// Takes all members, in their order of declaration.
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
