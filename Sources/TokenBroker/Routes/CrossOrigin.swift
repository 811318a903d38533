import HTTPTypes

/// Which pages may call: those of the listed origins, and those of the server's own.
///
/// Its own is the origin whose host and port are the request's `Host`. A page cannot choose that field, so a page of another site never has
/// the same. A name that an attacker points at this server (DNS rebinding) is its own host too, but no cookie and no
/// token of ours is ever sent there.
struct CrossOrigin: Sendable {
    /// Compared as a whole and exactly, as browsers send them: `https://shop.example`.
    let allowedOrigins: Set<String>
    let method: HTTPRequest.Method

    /// Whether the request may go on, as far as `Origin` (RFC 6454) and `Sec-Fetch-Site` (Fetch Metadata) tell.
    ///
    /// - Parameter needsOne: Whether one of the two must be there: a proof that the browser attaches by itself says nothing
    ///   about the page. Without either it is no request of a browser's from the last years.
    func allows(_ head: HTTPRequest, needsOne: Bool = false) -> Bool {
        let origins = head.headerFields[values: .origin]
        let sites = head.headerFields.values(named: "sec-fetch-site")
        guard origins.count <= 1, sites.count <= 1 else { return false }
        if let origin = origins.first {
            if allowedOrigins.contains(origin) { return true }
            guard isOwn(origin, of: head) else { return false }
        }
        // `none` is for what the user did without any page.
        if let site = sites.first { return site == "same-origin" || site == "none" }
        return !origins.isEmpty || !needsOne
    }

    /// A server behind a TLS proxy does not see the scheme the browser used, so both count.
    private func isOwn(_ origin: String, of head: HTTPRequest) -> Bool {
        guard let authority = head.authority, !authority.isEmpty else { return false }
        let lowered = authority.lowercased()
        return origin == "https://\(lowered)" || origin == "http://\(lowered)"
    }

    func answerToPreflight(_ head: HTTPRequest) -> RouteResponse {
        var response = RouteResponse(status: .noContent)
        response.head.headerFields[.allow] = "\(method.rawValue), OPTIONS"
        for name in ["Access-Control-Request-Method", "Access-Control-Request-Headers"] {
            response.head.headerFields.append(HTTPField(name: .vary, value: name))
        }
        if isListed(head) {
            response.head.headerFields[.accessControlAllowMethods] = method.rawValue
            response.head.headerFields[.accessControlAllowHeaders] = "Authorization, Content-Type"
            // As long as browsers keep it at most; Chromium has two hours.
            response.head.headerFields[.accessControlMaxAge] = "7200"
        }
        return response
    }

    /// What a browser needs to let the page of a listed origin read the answer.
    func addFields(to response: inout RouteResponse, for head: HTTPRequest) {
        response.head.headerFields.append(HTTPField(name: .vary, value: "Origin"))
        guard isListed(head) else { return }
        response.head.headerFields[.accessControlAllowOrigin] = head.headerFields[values: .origin].first
        response.head.headerFields[.accessControlAllowCredentials] = "true"
        response.head.headerFields[.accessControlExposeHeaders] = "Retry-After"
    }

    private func isListed(_ head: HTTPRequest) -> Bool {
        let origins = head.headerFields[values: .origin]
        return origins.count == 1 && origins.allSatisfy(allowedOrigins.contains)
    }
}
