public import HTTPTypes
public import Testing

extension MisbehavingIssuer {
    /// What the issuer does with one call.
    public struct Behaviour: Sendable, CustomTestStringConvertible {
        enum Content: Sendable {
            case tokens(lifetime: String?, type: String?)
            case fixed(Reaction.Step)
        }
        /// A description of the behaviour.
        public private(set) var testDescription: String
        var content: Content
        var delay: Duration = .zero

        private static func responds(
            _ description: String, _ body: String, _ status: HTTPResponse.Status = .ok,
            _ fields: HTTPFields = [.contentType: "application/json"]
        ) -> Self {
            let head = HTTPResponse(status: status, headerFields: fields)
            return Self(testDescription: description, content: .fixed(.respond(head, Array(body.utf8))))
        }

        /// Issues a token.
        /// - Parameters:
        ///   - lifetime: The lifetime of the token; zero or negative for a token that has already expired.
        ///   - type: The `token_type` of an access token; `nil` to leave it out.
        public static func issues(lifetime: Duration = .seconds(3600), type: String? = "bearer") -> Self {
            Self(
                testDescription: "a token for \(lifetime) of type \(type ?? "none")",
                content: .tokens(lifetime: "\(lifetime / .seconds(1))", type: type)
            )
        }

        /// Issues a token with a literal `expires_in`. Meant for access tokens.
        /// - Parameter expiresIn: The member's value as JSON text; `nil` to leave it out.
        public static func issues(expiresIn: String?) -> Self {
            Self(
                testDescription: "a token with expires_in \(expiresIn ?? "absent")",
                content: .tokens(lifetime: expiresIn, type: "bearer")
            )
        }

        /// Waits before another behaviour.
        /// - Parameters:
        ///   - delay: How long to wait.
        ///   - behaviour: The behaviour after the delay.
        public static func slow(_ delay: Duration, then behaviour: Behaviour = .issues()) -> Self {
            var behaviour = behaviour
            behaviour.delay += delay
            behaviour.testDescription = "after \(delay), \(behaviour.testDescription)"
            return behaviour
        }

        /// Reads the request and never responds.
        public static let hangs = Self(testDescription: "silence", content: .fixed(.hang))

        /// Responds with 429.
        /// - Parameter retryAfter: The value of `Retry-After`, in seconds or as a date; `nil` to leave it out.
        public static func throttles(retryAfter: String? = nil) -> Self {
            var fields: HTTPFields = [.contentType: "application/json"]
            fields[.retryAfter] = retryAfter
            return responds(
                "429 with Retry-After \(retryAfter ?? "absent")",
                #"{"code": "too_many_requests", "message": "slow down"}"#, .tooManyRequests, fields
            )
        }

        /// Responds with an HTML page, as a gateway in front of the vendor does.
        public static func answersHTML(status: HTTPResponse.Status = .badGateway) -> Self {
            responds(
                "an HTML page with \(status.code)", "<html><body><h1>\(status.code)</h1></body></html>", status,
                [.contentType: "text/html"]
            )
        }

        /// Responds with this status, body and header fields.
        public static func answers(
            _ status: HTTPResponse.Status, _ body: String, headerFields: HTTPFields = [.contentType: "application/json"]
        ) -> Self {
            responds("\(status.code) with \(body.prefix(60))", body, status, headerFields)
        }

        /// Responds with this status and the vendor's error body.
        public static func refuses(_ status: HTTPResponse.Status) -> Self {
            responds(
                "the vendor's error with \(status.code)",
                #"{"code": "refused", "message": "the vendor's own words"}"#, status
            )
        }

        /// Responds with 200 and no body.
        public static let answersNothing = responds("200 without a body", "")

        /// Responds with 200 and an `error` member (RFC 6749, section 5.2) beside the token.
        public static func answersError(_ error: String = "invalid_client") -> Self {
            responds(
                "200 with an error",
                #"{"error": "\#(error)", "access_token": "access-of-an-error", "expires_in": 3600}"#
            )
        }

        /// Responds with 200 and only the beginning of a token's JSON. The announced length matches what is sent.
        public static let truncatesJSON = responds("truncated JSON", #"{"access_token": "access-trunc"#)

        /// Responds with 200 and a body of this many bytes.
        public static func floods(bytes: Int = 10 << 20) -> Self {
            let body = [UInt8](repeating: UInt8(ascii: " "), count: bytes)
            return Self(
                testDescription: "\(bytes) bytes", content: .fixed(.respond(HTTPResponse(status: .ok), body))
            )
        }

        /// Responds with 200 and a body that never ends.
        public static let neverEnds = Self(
            testDescription: "a body that never ends", content: .fixed(.flood(HTTPResponse(status: .ok)))
        )

        /// Responds with a redirect.
        public static func redirects(
            _ status: HTTPResponse.Status = .temporaryRedirect, to location: String = "https://elsewhere.example/"
        ) -> Self {
            responds("a redirect with \(status.code)", "", status, [.location: location])
        }

        /// Reads the request and closes the connection.
        public static let dropsConnection = Self(testDescription: "a closed connection", content: .fixed(.close))

        /// Responds with 200 and closes the connection in the middle of the token's JSON.
        public static let dropsMidBody = Self(
            testDescription: "a connection closed in the middle of the body",
            content: .fixed(
                .closeWithin(HTTPResponse(status: .ok), Array(#"{"access_token": "access-dropped""#.utf8), of: 100)
            )
        )
    }
}
