import HTTPTypes

/// A vendor at an address: a profile and a base URL.
public struct Vendor: Sendable {
    /// The vendor's profile.
    public let profile: VendorProfile
    /// How the client authenticates in step 1.
    public let clientAuthentication: VendorProfile.ClientAuthentication
    /// How the id and the secret are encoded with `client_secret_basic`.
    public let basicEncoding: VendorProfile.BasicEncoding
    /// What is known about the vendor's clock. All copies share it.
    let clock = VendorClock()
    private let scheme: String
    /// The host, and the port if one was given.
    package let authority: String
    private let pathPrefix: String

    /// Creates a vendor.
    ///
    /// - Parameters:
    ///   - profile: The vendor's profile.
    ///   - baseURL: `https://host[:port][/path]`; `http` only for a loopback host.
    ///   - clientAuthentication: How the client authenticates in step 1; `nil` for the profile's default.
    ///   - basicEncoding: How the id and the secret are encoded; `nil` for the profile's default.
    /// - Throws: ``ServerURL/Invalid`` if the base URL cannot be used.
    public init(
        profile: VendorProfile, baseURL: String, clientAuthentication: VendorProfile.ClientAuthentication? = nil,
        basicEncoding: VendorProfile.BasicEncoding? = nil
    ) throws(ServerURL.Invalid) {
        let url = try ServerURL(baseURL)
        guard !url.path.contains("?") else { throw ServerURL.Invalid(reason: "it has a query") }
        self.profile = profile
        self.clientAuthentication = clientAuthentication ?? profile.accessToken.clientAuthentication
        self.basicEncoding = basicEncoding ?? profile.basicEncoding
        self.scheme = url.scheme
        self.authority = url.authority
        self.pathPrefix = url.path.hasSuffix("/") ? String(url.path.dropLast()) : url.path
    }

    /// The account whose credentials and rate limit the calls use.
    public var account: Account { Account(profile.id) }

    /// Returns whether this is the vendor's production, by the environment's name or by the host. The spelling, port
    /// and path of the base URL do not matter, because another variant may lead to the same accounts.
    package func isProduction(_ environment: String) -> Bool {
        let production = profile.environments["production"] ?? nil
        let host = production.flatMap { try? Vendor(profile: profile, baseURL: $0) }
            .flatMap { Authority($0.authority)?.host }
        return environment == "production" || host != nil && host == Authority(authority)?.host
    }

    /// Returns a request to a path below the base URL.
    func request(_ method: HTTPRequest.Method, _ path: String, _ fields: HTTPFields) -> HTTPRequest {
        HTTPRequest(
            method: method, scheme: scheme, authority: authority, path: pathPrefix + path, headerFields: fields
        )
    }

    /// Returns the URL of a path below the base URL.
    func url(_ path: String) -> String { "\(scheme)://\(authority)\(pathPrefix)\(path)" }
}
