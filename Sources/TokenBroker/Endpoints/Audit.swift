import HTTPTypes
import Logging

/// The log event about a request for a token: `checkout token given` or `checkout token refused`.
///
/// | field | meaning |
/// | --- | --- |
/// | `outcome` | `given` or `refused` |
/// | `reason` | the reason; see ``Reason`` |
/// | `request` | the id of the request; see ``RequestID`` |
/// | `detail` | with the reasons `no_proof` and `policy`: the codes of the ``AccessRefusal``, such as `token_expired` |
/// | `status`, `code` | of the response; `code` only when refused |
/// | `principal` | the principal as a keyed hash, once it is known |
/// | `customer`, `invoice` | the requested ids, percent-encoded, once they were read |
/// | `replaces` | `true` if the request replaces a token that was refused |
/// | `token` | the id of the issued token, which reveals nothing about it |
/// | `incident` | the incident id, if the response has one |
/// | `origin` | with the reasons `origin` and `origin_unknown`: the page's origin, as scheme, host and port |
/// | `host` | with the same reasons: the requested host and port |
/// | `error` | the error in this package's own words, or the type of an error from elsewhere |
struct Audit: Sendable {
    let logger: Logger
    let pseudonym: @Sendable (Principal) -> String

    /// What is known about a request, filled in as it becomes known.
    struct Facts: Sendable {
        var requestID = ""
        var principal: Principal?
        var session: CheckoutSessionRequest?
    }

    /// The reason for the outcome of a request.
    enum Reason: String, Sendable {
        case allowed
        case method, host, origin
        case contentType = "content_type"
        /// The proof is one that browsers attach by themselves, and neither `Origin` nor `Sec-Fetch-Site` shows which
        /// site the page is from.
        case originUnknown = "origin_unknown"
        case noProof = "no_proof"
        case authenticatorFailed = "authenticator_failed"
        case authenticatorTimedOut = "authenticator_timed_out"
        case addressQuota = "address_quota"
        case principalQuota = "principal_quota"
        case replacementQuota = "replacement_quota"
        case tooManyAtOnce = "too_many_at_once"
        case body
        case bodyTooSlow = "body_too_slow"
        case policy
        case policyFailed = "policy_failed"
        case policyTimedOut = "policy_timed_out"
        case noToken = "no_token"
        case clientGone = "client_gone"
    }

    func given(_ token: Token, _ facts: Facts) {
        logger.info(
            "checkout token given",
            metadata: metadata(facts, outcome: "given", .allowed, ["status": "200", "token": "\(token.id)"])
        )
    }

    func refused(_ refusal: RequestRefusal, _ facts: Facts) {
        let problem = refusal.problem
        var more: Logger.Metadata = [
            "status": "\(problem.code.status.code)", "code": "\(problem.code.rawValue)",
        ]
        if let incident = problem.incident { more["incident"] = "\(incident)" }
        if let error = refusal.error { more["error"] = "\(error)" }
        more.merge(refusal.metadata) { $1 }
        let level: Logger.Level =
            switch refusal.reason {
            case .authenticatorFailed, .authenticatorTimedOut, .policyFailed, .policyTimedOut: .error
            case .noToken where problem.incident != nil: .error
            // What a caller asks for does not call for an operator's attention.
            case .noToken where problem.code == .sessionRejected: .info
            case .noToken, .tooManyAtOnce: .warning
            default: .info
            }
        logger.log(
            level: level, "checkout token refused",
            metadata: metadata(facts, outcome: "refused", refusal.reason, more)
        )
    }

    private func metadata(
        _ facts: Facts, outcome: String, _ reason: Reason, _ more: Logger.Metadata
    ) -> Logger.Metadata {
        var metadata = more
        metadata["outcome"] = "\(outcome)"
        metadata["reason"] = "\(reason.rawValue)"
        metadata["request"] = "\(facts.requestID)"
        if let principal = facts.principal { metadata["principal"] = "\(pseudonym(principal))" }
        if let session = facts.session {
            // Encoded, because in a text log an id with spaces could pass for other fields.
            metadata["customer"] = "\(percentEncoded(session.customer))"
            metadata["invoice"] = "\(percentEncoded(session.invoice))"
            if session.replaces != nil { metadata["replaces"] = "true" }
        }
        return metadata
    }

    /// Returns a hash whose key is random in each process, so that a principal is recognizable only within one process.
    static func pseudonymWithinProcess(_ principal: Principal) -> String {
        var hasher = Hasher()
        hasher.combine("audit")
        hasher.combine(principal.tenant)
        hasher.combine(principal.subject)
        let hash = String(UInt(bitPattern: hasher.finalize()), radix: 16)
        return String(repeating: "0", count: max(0, 16 - hash.count)) + hash
    }
}
