import HTTPTypes

/// An error answer of the endpoint (RFC 9457). Every member is a fixed text of ours, or names a member of the request.
struct Problem: Error, Sendable {
    var status: HTTPResponse.Status
    var code: String
    var title: String
    /// What was expected, for whoever writes the page.
    var detail: String?
    /// Also in the log, so that the two can be found from each other.
    var incident: String?
    var retryAfter: Duration?
    var headerFields: HTTPFields = [:]

    static func invalidRequest(_ detail: String) -> Problem {
        Problem(status: .badRequest, code: "invalid_request", title: "The request is not valid.", detail: detail)
    }
    static let unsupportedMediaType = Problem(
        status: .unsupportedMediaType, code: "unsupported_media_type",
        title: "The content type must be application/json."
    )
    static func methodNotAllowed(_ allowed: String) -> Problem {
        Problem(
            status: .methodNotAllowed, code: "method_not_allowed", title: "The method is not allowed here.",
            headerFields: [.allow: allowed]
        )
    }
    static let tooLarge = Problem(
        status: .contentTooLarge, code: "too_large", title: "The request body is too large.",
        detail: "At most \(maximumBodyBytes) bytes are accepted."
    )
    static let tooSlow = Problem(
        status: .requestTimeout, code: "too_slow", title: "The request body took too long to arrive."
    )
    static func unauthenticated(challenge: String) -> Problem {
        Problem(
            status: .unauthorized, code: "unauthenticated", title: "It is not proven who asks.",
            headerFields: [.wwwAuthenticate: challenge]
        )
    }
    static let forbidden = Problem(status: .forbidden, code: "forbidden", title: "This is not allowed.")
    static let sessionRejected = Problem(
        status: .unprocessableContent, code: "session_rejected",
        title: "The payment vendor does not accept this customer or invoice."
    )
    static func vendorBusy(retryAfter: Duration?) -> Problem {
        Problem(
            status: .serviceUnavailable, code: "vendor_busy", title: "The payment vendor is busy.",
            retryAfter: retryAfter ?? .seconds(1)
        )
    }
    static func vendorUnavailable(retryAfter: Duration?) -> Problem {
        Problem(
            status: .serviceUnavailable, code: "vendor_unavailable", title: "The payment vendor is not available.",
            retryAfter: retryAfter ?? .seconds(5)
        )
    }
    static func misconfigured(incident: String) -> Problem {
        Problem(
            status: .internalServerError, code: "misconfigured", title: "The server is not set up correctly.",
            incident: incident
        )
    }

    static let maximumBodyBytes = 64 << 10

    var response: RouteResponse {
        var members: [String: JSONValue] = [
            "type": "about:blank", "status": .number(Double(status.code)), "title": .string(title),
            "error": .string(title), "code": .string(code),
        ]
        if let detail { members["detail"] = .string(detail) }
        if let incident { members["incident"] = .string(incident) }
        var fields = headerFields
        fields[.contentType] = "application/problem+json"
        if let retryAfter { fields[.retryAfter] = String(max(1, Int64((retryAfter / .seconds(1)).rounded(.up)))) }
        return RouteResponse(status: status, headerFields: fields, body: JSONValue.object(members).serialized)
    }
}
