import HTTPTypes

/// A vendor at an address: a profile with the base URL that is used.
public struct Vendor: Sendable {
    /// What is particular to the vendor.
    public let profile: VendorProfile
    /// How step 1 proves which client asks.
    public let clientAuthentication: VendorProfile.ClientAuthentication
    /// With `client_secret_basic`: how id and secret are written.
    public let basicEncoding: VendorProfile.BasicEncoding
    /// What is known of its clock. All copies share it.
    let clock = VendorClock()
    private let scheme: String
    /// Host and port.
    package let authority: String
    private let pathPrefix: String

    /// - Parameters:
    ///   - baseURL: `https://host[:port][/path]`; `http` only for a loopback host.
    ///   - clientAuthentication: Instead of the profile's.
    ///   - basicEncoding: Instead of the profile's.
    /// - Throws: ``ServerURL/Invalid`` that says what is wrong with it.
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

    /// Whose credentials and rate limit its calls use.
    public var account: Account { Account(profile.id) }

    /// Whether it is the vendor's production, by the environment's name or by the host, whatever its spelling, port and path: another of them
    /// may lead to the same accounts.
    package func isProduction(_ environment: String) -> Bool {
        let production = profile.environments["production"] ?? nil
        let host = production.flatMap { try? Vendor(profile: profile, baseURL: $0) }
            .flatMap { Authority($0.authority)?.host }
        return environment == "production" || host != nil && host == Authority(authority)?.host
    }

    /// A request to a path below the base URL.
    func request(_ method: HTTPRequest.Method, _ path: String, _ fields: HTTPFields) -> HTTPRequest {
        HTTPRequest(
            method: method, scheme: scheme, authority: authority, path: pathPrefix + path, headerFields: fields
        )
    }

    /// The URL of a path below the base URL.
    func url(_ path: String) -> String { "\(scheme)://\(authority)\(pathPrefix)\(path)" }
}
