package import HTTPTypes
import Logging

/// Decides which pages may call the endpoint: those of the listed origins and the server's own.
///
/// A page is the server's own if the browser says so in `Sec-Fetch-Site` (Fetch Metadata), which no page can set. If
/// the browser does not send that field, `Origin` (RFC 6454) must have the requested host and port. A page cannot
/// choose these, so a page of another site never has the same ones. A name that an attacker points at this server (DNS
/// rebinding) matches its own origin, but browsers never send our cookies or tokens to that name.
struct CrossOrigin: Sendable {
    private let allowedOrigins: [String]
    private let allowedHeaders: String
    private let method: HTTPRequest.Method
    let addresses: ClientAddresses

    /// - Parameters:
    ///   - allowedOrigins: The listed origins as browsers send them, such as `https://shop.example`. They are compared
    ///     exactly.
    ///   - allowedHeaders: The fields that pages of listed origins may send besides the usual ones.
    ///   - reservedFields: The fields that these pages may never send.
    ///   - method: The method that these pages may use.
    ///   - addresses: Determines the requested host, and knows the proxies that are trusted to name it.
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

    /// The fields that the page itself sends, and those that Sentry and OpenTelemetry add to its requests.
    private static let usualHeaders = [
        "Authorization", "Content-Type", "baggage", "sentry-trace", "traceparent", "tracestate",
    ]

    /// Returns whether the request may continue.
    ///
    /// - Parameter needsOne: Whether `Origin` or `Sec-Fetch-Site` is required, because a proof that the browser
    ///   attaches by itself says nothing about the page. A request with neither field does not come from a recent
    ///   browser.
    func allows(_ request: EndpointRequest, needsOne: Bool = false) -> Bool {
        let origins = request.head.headerFields[values: .origin]
        let sites = request.head.headerFields.values(named: "sec-fetch-site")
        guard origins.count <= 1, sites.count <= 1 else { return false }
        if isListed(request.head) { return true }
        // `none` marks a request that the user made without any page.
        if let site = sites.first { return site == "same-origin" || site == "none" }
        guard let text = origins.first else { return !needsOne }
        guard let origin = Origin(text), let authority = addresses.authority(of: request) else { return false }
        // A server behind a TLS proxy does not see the scheme that the browser used.
        return origin.isServed(by: authority)
    }

    /// Returns the log metadata of a request that may not continue.
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
            // Browsers cap the value; Chromium's maximum is two hours.
            response.head.headerFields[.accessControlMaxAge] = "7200"
        }
        return response
    }

    /// Adds the fields that a browser needs to let the page of a listed origin read the response.
    func addFields(to response: inout EndpointResponse, for head: HTTPRequest) {
        response.head.headerFields.append(HTTPField(name: .vary, value: "Origin"))
        guard isListed(head) else { return }
        response.head.headerFields[.accessControlAllowOrigin] = head.headerFields[values: .origin].first
        response.head.headerFields[.accessControlAllowCredentials] = "true"
        // A `Retry-After` date is read relative to the response's `Date`.
        response.head.headerFields[.accessControlExposeHeaders] = "Retry-After, Date, X-Request-ID"
    }

    private func isListed(_ head: HTTPRequest) -> Bool {
        let origins = head.headerFields[values: .origin]
        guard origins.count == 1, let origin = origins.first else { return false }
        return allowedOrigins.contains { ExactString($0) == origin }
    }
}

extension HTTPField.Name {
    /// Whether a page of another origin can be allowed to send a field of this name.
    ///
    /// Excluded are fields that identify the caller by means that this package does not check, fields that proxies set,
    /// and fields that browsers reserve for themselves (Fetch, section 2.2.2).
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
