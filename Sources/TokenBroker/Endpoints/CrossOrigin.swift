package import HTTPTypes
import Logging

/// Which pages may call: those of the listed origins, and those of the server's own.
///
/// A page is the server's own if the browser says so in `Sec-Fetch-Site` (Fetch Metadata), which no page can set.
/// From a browser that does not send it, `Origin` (RFC 6454) has to have the host and port that were asked. A page
/// cannot choose those, so a page of another site never has the same. A name that an attacker points at this server
/// (DNS rebinding) is its own host too, but no cookie and no token of ours is ever sent there.
struct CrossOrigin: Sendable {
    private let allowedOrigins: [String]
    private let allowedHeaders: String
    private let method: HTTPRequest.Method
    private let addresses: ClientAddresses

    /// - Parameters:
    ///   - allowedOrigins: Compared as a whole and exactly, as browsers send them: `https://shop.example`.
    ///   - allowedHeaders: Fields that pages of those may send besides the usual ones.
    ///   - reservedFields: Fields that they may not send in any case.
    ///   - addresses: Knows the proxies that are believed about which host was asked.
    init(
        allowedOrigins: Set<String>, allowedHeaders: [HTTPField.Name], reservedFields: Set<HTTPField.Name>,
        method: HTTPRequest.Method, addresses: ClientAddresses
    ) {
        self.allowedOrigins = allowedOrigins.sorted()
        self.method = method
        self.addresses = addresses
        var names = Self.usualHeaders
        for name in allowedHeaders where name.mayComeFromPages && !reservedFields.contains(name) {
            if !names.contains(where: { $0.lowercased() == name.canonicalName }) { names.append(name.rawName) }
        }
        self.allowedHeaders = names.joined(separator: ", ")
    }

    /// What the page itself sends, and what Sentry and OpenTelemetry add to the requests of a page.
    private static let usualHeaders = [
        "Authorization", "Content-Type", "baggage", "sentry-trace", "traceparent", "tracestate",
    ]

    /// Whether the request may go on.
    ///
    /// - Parameter needsOne: Whether `Origin` or `Sec-Fetch-Site` must be there: a proof that the browser attaches by
    ///   itself says nothing about the page. Without either it is no request of a browser's from the last years.
    func allows(_ request: EndpointRequest, needsOne: Bool = false) -> Bool {
        let origins = request.head.headerFields[values: .origin]
        let sites = request.head.headerFields.values(named: "sec-fetch-site")
        guard origins.count <= 1, sites.count <= 1 else { return false }
        if isListed(request.head) { return true }
        // `none` is for what the user did without any page.
        if let site = sites.first { return site == "same-origin" || site == "none" }
        guard let text = origins.first else { return !needsOne }
        guard let origin = Origin(text), let authority = addresses.authority(of: request) else { return false }
        // A server behind a TLS proxy does not see the scheme that the browser used.
        return origin.isServed(by: authority)
    }

    /// What the log tells of a request that may not go on.
    func metadata(of request: EndpointRequest) -> Logger.Metadata {
        var metadata: Logger.Metadata = [:]
        let origins = request.head.headerFields[values: .origin]
        if let text = origins.first {
            let known = text == "null" ? text : Origin(text)?.description
            metadata["origin"] = "\(origins.count > 1 ? "repeated" : known ?? "malformed")"
        }
        metadata["host"] = "\(addresses.authority(of: request)?.description ?? "unknown")"
        return metadata
    }

    func answerToPreflight(_ head: HTTPRequest) -> EndpointResponse {
        var response = EndpointResponse(status: .noContent)
        response.head.headerFields[.allow] = "\(method.rawValue), OPTIONS"
        for name in ["Access-Control-Request-Method", "Access-Control-Request-Headers"] {
            response.head.headerFields.append(HTTPField(name: .vary, value: name))
        }
        if isListed(head) {
            response.head.headerFields[.accessControlAllowMethods] = method.rawValue
            response.head.headerFields[.accessControlAllowHeaders] = allowedHeaders
            // As long as browsers keep it at most; Chromium has two hours.
            response.head.headerFields[.accessControlMaxAge] = "7200"
        }
        return response
    }

    /// What a browser needs to let the page of a listed origin read the answer.
    func addFields(to response: inout EndpointResponse, for head: HTTPRequest) {
        response.head.headerFields.append(HTTPField(name: .vary, value: "Origin"))
        guard isListed(head) else { return }
        response.head.headerFields[.accessControlAllowOrigin] = head.headerFields[values: .origin].first
        response.head.headerFields[.accessControlAllowCredentials] = "true"
        // A `Retry-After` that is a date is read against the answer's own.
        response.head.headerFields[.accessControlExposeHeaders] = "Retry-After, Date"
    }

    private func isListed(_ head: HTTPRequest) -> Bool {
        let origins = head.headerFields[values: .origin]
        guard origins.count == 1, let origin = origins.first else { return false }
        return allowedOrigins.contains { ExactString($0) == origin }
    }
}

extension HTTPField.Name {
    /// Whether a page of another origin can be allowed to send a field of this name. Not the ones that say who asks
    /// by other means than this package looks at, those that proxies set, and those that browsers keep to themselves
    /// (Fetch, section 2.2.2).
    package var mayComeFromPages: Bool {
        !isProxyField && !Self.forbidden.contains(canonicalName)
            && !Self.forbiddenPrefixes.contains { canonicalName.utf8.starts(with: $0.utf8) }
    }

    private static let forbidden: Set<String> = [
        "*", "accept-charset", "accept-encoding", "connection", "content-encoding", "content-length", "cookie",
        "cookie2", "date", "dnt", "expect", "host", "http2-settings", "keep-alive", "origin", "referer",
        "remote-user", "set-cookie", "set-cookie2", "te", "trailer", "transfer-encoding", "upgrade", "via",
        "x-forwarded", "x-http-method", "x-http-method-override", "x-method-override", "x-proxy-secret",
        "x-remote-user",
    ]
    private static let forbiddenPrefixes = ["access-control-", "proxy-", "sec-"]
}
