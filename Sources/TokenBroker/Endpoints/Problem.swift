import HTTPTypes

/// An error response of the endpoint (RFC 9457). Every member is our own fixed text, or names a member of the request.
struct Problem: Error, Sendable {
    var code: Code
    /// What was expected, for the developer of the page.
    var detail: String?
    /// An id that is also in the log, so that the response and its log entry can be matched.
    var incident: String?
    var retryAfter: Duration?
    var headerFields: HTTPFields = [:]

    /// The kind of problem. `openapi.json` documents each code with its status.
    enum Code: String, Sendable, CaseIterable {
        case invalidRequest = "invalid_request"
        case unauthenticated
        case forbidden
        case accessUnavailable = "access_unavailable"
        case methodNotAllowed = "method_not_allowed"
        case tooSlow = "too_slow"
        case tooLarge = "too_large"
        case unsupportedMediaType = "unsupported_media_type"
        case sessionRejected = "session_rejected"
        case tooManyRequests = "too_many_requests"
        case misconfigured
        case vendorBusy = "vendor_busy"
        case vendorUnavailable = "vendor_unavailable"

        var status: HTTPResponse.Status { meaning.status }
        var title: String { meaning.title }

        private var meaning: (status: HTTPResponse.Status, title: String) {
            switch self {
            case .invalidRequest: (.badRequest, "The request is not valid.")
            case .unauthenticated: (.unauthorized, "Authentication is required.")
            case .forbidden: (.forbidden, "Access is denied.")
            case .accessUnavailable: (.serviceUnavailable, "Access cannot be checked at the moment.")
            case .methodNotAllowed: (.methodNotAllowed, "The method is not allowed.")
            case .tooSlow: (.requestTimeout, "The request body took too long to arrive.")
            case .tooLarge: (.contentTooLarge, "The request body is too large.")
            case .unsupportedMediaType: (.unsupportedMediaType, "The content type must be application/json.")
            case .sessionRejected:
                (.unprocessableContent, "The payment vendor does not accept this customer or invoice.")
            case .tooManyRequests: (.tooManyRequests, "Too many requests.")
            case .misconfigured: (.internalServerError, "The server is misconfigured.")
            case .vendorBusy: (.serviceUnavailable, "The payment vendor is busy.")
            case .vendorUnavailable: (.serviceUnavailable, "The payment vendor is unavailable.")
            }
        }
    }

    /// Creates the problem that a page is told when no token can be obtained. `VendorStep` decides what a vendor's
    /// response means.
    init(_ error: TokenError) {
        self =
            switch error.code {
            case .requestRejected: .sessionRejected
            case .throttled: .vendorBusy(retryAfter: error.retryAfter)
            case .credentialsRejected, .misconfigured: .misconfigured(incident: randomHex(words: 1))
            default: .vendorUnavailable(retryAfter: error.retryAfter)
            }
    }

    private init(
        code: Code, detail: String? = nil, incident: String? = nil, retryAfter: Duration? = nil,
        headerFields: HTTPFields = [:]
    ) {
        self.code = code
        self.detail = detail
        self.incident = incident
        self.retryAfter = retryAfter
        self.headerFields = headerFields
    }

    static func invalidRequest(_ detail: String) -> Problem { Problem(code: .invalidRequest, detail: detail) }
    static let unsupportedMediaType = Problem(code: .unsupportedMediaType)
    static func methodNotAllowed(_ allowed: String) -> Problem {
        Problem(code: .methodNotAllowed, headerFields: [.allow: allowed])
    }
    static let tooLarge = Problem(code: .tooLarge, detail: "At most \(maximumBodyBytes) bytes are accepted.")
    static let tooSlow = Problem(code: .tooSlow)
    static func unauthenticated(challenge: String) -> Problem {
        Problem(code: .unauthenticated, headerFields: [.wwwAuthenticate: challenge])
    }
    static let forbidden = Problem(code: .forbidden)
    /// Asks the page to retry after 1 to 5 seconds, chosen at random, so that not all pages retry at once.
    static var accessUnavailable: Problem {
        Problem(code: .accessUnavailable, retryAfter: .seconds(Int.random(in: 1...5)))
    }
    static let sessionRejected = Problem(code: .sessionRejected)
    static func tooManyRequests(retryAfter: Duration) -> Problem {
        Problem(code: .tooManyRequests, retryAfter: retryAfter)
    }
    static func vendorBusy(retryAfter: Duration?) -> Problem {
        Problem(code: .vendorBusy, retryAfter: retryAfter ?? .seconds(1))
    }
    static func vendorUnavailable(retryAfter: Duration?) -> Problem {
        Problem(code: .vendorUnavailable, retryAfter: retryAfter ?? .seconds(5))
    }
    static func misconfigured(incident: String) -> Problem { Problem(code: .misconfigured, incident: incident) }

    static let maximumBodyBytes = 64 << 10

    var response: EndpointResponse {
        var members: [String: JSONValue] = [
            "type": "about:blank", "status": .number(Double(code.status.code)), "title": .string(code.title),
            "error": .string(code.title), "code": .string(code.rawValue),
        ]
        if let detail { members["detail"] = .string(detail) }
        if let incident { members["incident"] = .string(incident) }
        var fields = headerFields
        fields[.contentType] = "application/problem+json"
        if let retryAfter { fields[.retryAfter] = String(max(1, Int64((retryAfter / .seconds(1)).rounded(.up)))) }
        return EndpointResponse(status: code.status, headerFields: fields, body: JSONValue.object(members).serialized)
    }
}
