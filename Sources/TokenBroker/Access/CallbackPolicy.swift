import HTTPTypes
public import Logging

/// A policy that asks a service of your own.
///
/// The policy sends one `POST` with `{"principal": {"subject", "tenant", "claims"}, "customerId", "invoiceId"}`. The
/// service decides with 200 and a JSON object whose `allow` is `true` or `false`; 403 and 404 also deny access. Any
/// other response, including a redirect, decides nothing and is a failure, and so is a timeout. Decorate the policy
/// with ``AccessPolicy/caching(for:clock:)``.
public struct CallbackPolicy: AccessPolicy {
    /// The whole session: the service is asked about both the customer and the invoice.
    public let binds: AccessBinding = .session
    private let url: ServerURL
    private let transport: any HTTPTransport
    private let secrets: SharedSecrets?
    private let timeout: Duration
    private let logger: Logger?

    /// Creates a policy.
    ///
    /// - Parameters:
    ///   - url: The URL of the service.
    ///   - transport: The transport for the call.
    ///   - secrets: The secrets that the service shares with the broker. The first one is sent as bearer token, so that
    ///     the service can authenticate the broker.
    ///   - timeout: The timeout of the call.
    ///   - logger: Logs responses that decide nothing.
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
    /// - Throws: ``AccessRefusal`` if the service denies access. Any other error if it does not respond or does not
    ///   decide.
    public func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool {
        let answer = try await ask(principal, request)
        switch answer.decision {
        case true?: return true
        case false?: throw AccessRefusal("callback_denied")
        case nil:
            logger?.warning(
                "the access callback did not decide: expected 200 with {\"allow\": true} or false, 403 or 404",
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
        // Without an account, because the call does not go to the vendor and does not count against its rate limit.
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

    /// The service responded without a decision.
    package struct Undecided: Error {}
}

extension CallbackPolicy: LiveChecking {
    /// The name of the service in a check, with its host.
    public var checked: String { "access callback at \(Authority(url.authority)?.host.description ?? "")" }

    /// Asks the service about a principal, a customer and an invoice that do not exist.
    public func check() async throws(TokenError) -> String {
        let request = TokenRequest(inputs: [.customer: "token-broker-check", .invoice: "token-broker-check"])
        let answer: (decision: Bool?, status: Int)
        do {
            answer = try await ask(Principal(subject: "token-broker-check"), request)
        } catch {
            let cause: (any Error)? = error as? TransportError ?? (error as? CredentialError)
            throw TokenError(.unavailable, message: "the access callback cannot be called", cause: cause)
        }
        switch answer.decision {
        case false?: return "denies a made-up invoice, as expected"
        case true?: return "allows a made-up invoice; check that it really decides"
        case nil:
            throw TokenError(
                .unavailable,
                message: "expected 200 with {\"allow\": true} or false, 403 or 404, found \(answer.status)"
                    + (answer.status == 200 ? " with another body" : ""))
        }
    }
}
