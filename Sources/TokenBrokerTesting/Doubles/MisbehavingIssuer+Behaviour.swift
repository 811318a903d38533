public import HTTPTypes
public import Testing

extension MisbehavingIssuer {
    /// What it does with one call.
    public struct Behaviour: Sendable, CustomTestStringConvertible {
        enum Content: Sendable {
            case tokens(lifetime: String?, type: String?)
            case fixed(Reaction.Step)
        }
        /// What it does, in words.
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
        ///   - lifetime: Zero and less for one that has expired already.
        ///   - type: What `token_type` says of an access token; `nil` for nothing.
        public static func issues(lifetime: Duration = .seconds(3600), type: String? = "bearer") -> Self {
            Self(
                testDescription: "a token for \(lifetime) of type \(type ?? "none")",
                content: .tokens(lifetime: "\(lifetime / .seconds(1))", type: type)
            )
        }

        /// Issues a token with this as its `expires_in`, in JSON as it stands; `nil` for none. For access tokens.
        public static func issues(expiresIn: String?) -> Self {
            Self(
                testDescription: "a token with expires_in \(expiresIn ?? "absent")",
                content: .tokens(lifetime: expiresIn, type: "bearer")
            )
        }

        /// Does something else after a while.
        public static func slow(_ delay: Duration, then behaviour: Behaviour = .issues()) -> Self {
            var behaviour = behaviour
            behaviour.delay += delay
            behaviour.testDescription = "after \(delay), \(behaviour.testDescription)"
            return behaviour
        }

        /// Reads the request and says nothing.
        public static let hangs = Self(testDescription: "silence", content: .fixed(.hang))

        /// 429.
        /// - Parameter retryAfter: Seconds or a date, as it stands in the field; `nil` for none.
        public static func throttles(retryAfter: String? = nil) -> Self {
            var fields: HTTPFields = [.contentType: "application/json"]
            fields[.retryAfter] = retryAfter
            return responds(
                "429 with Retry-After \(retryAfter ?? "absent")",
                #"{"code": "too_many_requests", "message": "slow down"}"#, .tooManyRequests, fields
            )
        }

        /// An HTML page of some server in front, such as a 502.
        public static func answersHTML(status: HTTPResponse.Status = .badGateway) -> Self {
            responds(
                "a page of HTML with \(status.code)", "<html><body><h1>\(status.code)</h1></body></html>", status,
                [.contentType: "text/html"]
            )
        }

        /// This answer, as a gateway in front gives it, or the vendor itself.
        public static func answers(
            _ status: HTTPResponse.Status, _ body: String, headerFields: HTTPFields = [.contentType: "application/json"]
        ) -> Self {
            responds("\(status.code) with \(body.prefix(60))", body, status, headerFields)
        }

        /// A status with the vendor's error body.
        public static func refuses(_ status: HTTPResponse.Status) -> Self {
            responds(
                "the vendor's error with \(status.code)",
                #"{"code": "refused", "message": "the vendor's own words"}"#, status
            )
        }

        /// 200 without a body.
        public static let answersNothing = responds("200 without a body", "")

        /// 200 with an `error` member (RFC 6749, section 5.2) where a token is expected.
        public static func answersError(_ error: String = "invalid_client") -> Self {
            responds(
                "200 with an error",
                #"{"error": "\#(error)", "access_token": "access-of-an-error", "expires_in": 3600}"#
            )
        }

        /// 200 with the beginning of a token's JSON, and a matching length.
        public static let truncatesJSON = responds("JSON that is cut off", #"{"access_token": "access-trunc"#)

        /// 200 with a body of this many bytes.
        public static func floods(bytes: Int = 10 << 20) -> Self {
            let body = [UInt8](repeating: UInt8(ascii: " "), count: bytes)
            return Self(
                testDescription: "\(bytes) bytes", content: .fixed(.respond(HTTPResponse(status: .ok), body))
            )
        }

        /// 200 with a body that never ends.
        public static let neverEnds = Self(
            testDescription: "a body without end", content: .fixed(.flood(HTTPResponse(status: .ok)))
        )

        /// A redirect.
        public static func redirects(
            _ status: HTTPResponse.Status = .temporaryRedirect, to location: String = "https://elsewhere.example/"
        ) -> Self {
            responds("a redirect with \(status.code)", "", status, [.location: location])
        }

        /// Reads the request and closes the connection.
        public static let dropsConnection = Self(testDescription: "a closed connection", content: .fixed(.close))

        /// Closes the connection in the middle of a token.
        public static let dropsMidBody = Self(
            testDescription: "a connection closed within the body",
            content: .fixed(
                .closeWithin(HTTPResponse(status: .ok), Array(#"{"access_token": "access-dropped""#.utf8), of: 100)
            )
        )
    }
}
