import HTTPTypes

/// Which pages may call: those of the listed origins, and those of the server's own.
struct CrossOrigin: Sendable {
    /// Compared as a whole and exactly, as browsers send them: `https://shop.example`.
    let allowedOrigins: Set<String>
    let method: HTTPRequest.Method

    /// Whether the request may go on. Without `Origin` it is no cross-origin request of a browser.
    func allows(_ head: HTTPRequest) -> Bool {
        let origins = head.headerFields[values: .origin]
        guard let origin = origins.first else { return true }
        return origins.count == 1 && (allowedOrigins.contains(origin) || isOwn(origin, of: head))
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
        if let origin = head.headerFields[.origin], allowedOrigins.contains(origin) {
            response.head.headerFields[.accessControlAllowMethods] = method.rawValue
            response.head.headerFields[.accessControlAllowHeaders] = "Authorization, Content-Type"
            response.head.headerFields[.accessControlMaxAge] = "600"
        }
        return response
    }

    /// What a browser needs to let the page of a listed origin read the answer.
    func addFields(to response: inout RouteResponse, for head: HTTPRequest) {
        response.head.headerFields.append(HTTPField(name: .vary, value: "Origin"))
        guard let origin = head.headerFields[.origin], allowedOrigins.contains(origin) else { return }
        response.head.headerFields[.accessControlAllowOrigin] = origin
        response.head.headerFields[.accessControlAllowCredentials] = "true"
        response.head.headerFields[.accessControlExposeHeaders] = "Retry-After"
    }
}
