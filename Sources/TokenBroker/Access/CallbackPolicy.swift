import HTTPTypes
public import Logging

/// Asks a service of the adopter's.
///
/// One `POST` with `{"principal": {"subject", "tenant", "claims"}, "customerId", "invoiceId"}`. The service decides
/// with 200 and a JSON object whose `allow` is `true` or `false`; 403 and 404 are a no as well. Any other answer, a
/// redirect included, decides nothing and is a failure, as is no answer in time. Put
/// ``AccessPolicy/caching(for:clock:)`` behind it.
public struct CallbackPolicy: AccessPolicy {
    /// The service is asked about all of it.
    public let binds: AccessBinding = .session
    private let url: ServerURL
    private let transport: any HTTPTransport
    private let secrets: SharedSecrets?
    private let timeout: Duration
    private let logger: Logger?

    /// - Parameters:
    ///   - url: Where to ask.
    ///   - transport: Carries the call.
    ///   - secrets: The first is sent as bearer token, so that the service can tell who asks.
    ///   - timeout: For the call.
    ///   - logger: For answers that make no sense.
    public init(
        url: ServerURL, transport: any HTTPTransport, secrets: SharedSecrets? = nil, timeout: Duration = .seconds(2),
        logger: Logger? = nil
    ) {
        self.url = url
        self.transport = transport
        self.secrets = secrets
        self.timeout = timeout
        self.logger = logger
    }

    /// Asks the service.
    /// - Throws: If it does not answer, or decides nothing.
    public func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool {
        let answer = try await ask(principal, request)
        switch answer.decision {
        case true?: return true
        case false?: throw AccessRefusal("callback_denied")
        case nil:
            logger?.warning(
                "the access callback answered neither 200 with {\"allow\": true} or false, nor 403 or 404, which decides nothing",
                metadata: ["status": "\(answer.status)"]
            )
            throw Undecided()
        }
    }

    private func ask(
        _ principal: Principal, _ request: TokenRequest
    ) async throws -> (decision: Bool?, status: Int) {
        var members: [String: JSONValue] = [
            "principal": [
                "subject": .string(principal.subject), "tenant": .string(principal.tenant),
                "claims": .object(principal.claims),
            ]
        ]
        members["customerId"] = request.inputs[.customer].map(JSONValue.string)
        members["invoiceId"] = request.inputs[.invoice].map(JSONValue.string)
        var fields: HTTPFields = [.contentType: "application/json", .accept: "application/json"]
        if let secret = try await secrets?.current().first { fields[.authorization] = "Bearer " + secret.reveal() }
        // No account: it is no call to the vendor, and does not count against its limit.
        let response = try await transport.send(
            url.request(.post, fields), body: JSONValue.object(members).serialized,
            options: TransportOptions(timeout: timeout, maximumResponseBytes: 64 << 10)
        )
        let status = response.status.code
        switch status {
        case 200:
            if case .bool(let decision)? = (try? JSONValue.parse(response.body))?["allow"] { return (decision, status) }
            return (nil, status)
        case 403, 404: return (false, status)
        default: return (nil, status)
        }
    }

    /// The service answered, but not whether they may.
    package struct Undecided: Error {}
}

extension CallbackPolicy: LiveChecking {
    /// The service, by its host.
    public var checked: String { "access callback at \(Authority(url.authority)?.host.description ?? "")" }

    /// Asks the service about a principal, a customer and an invoice that do not exist.
    public func check() async throws(TokenError) -> String {
        let request = TokenRequest(inputs: [.customer: "token-broker-check", .invoice: "token-broker-check"])
        let answer: (decision: Bool?, status: Int)
        do {
            answer = try await ask(Principal(subject: "token-broker-check"), request)
        } catch {
            let cause: (any Error)? = error as? TransportError ?? (error as? CredentialError)
            throw TokenError(.unavailable, message: "it cannot be asked", cause: cause)
        }
        switch answer.decision {
        case false?: return "answers no to an invoice that is made up, as it should"
        case true?: return "answers yes to an invoice that is made up; see that it decides"
        case nil:
            throw TokenError(
                .unavailable,
                message: "expected 200 with {\"allow\": true} or false, 403 or 404, found \(answer.status)"
                    + (answer.status == 200 ? " with something else" : ""))
        }
    }
}
