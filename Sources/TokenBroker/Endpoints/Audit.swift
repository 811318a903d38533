import HTTPTypes
import Logging

/// The one log event about a request for a token: `checkout token given` or `checkout token refused`.
///
/// | field | what it says | | --- | --- | | `outcome` | `given` or `refused` | | `reason` | why; see ``Reason`` | |
/// `detail` | with the reasons `no_proof` and `policy`: the codes of the ``AccessRefusal``, such as `token_expired` | |
/// `status`, `code` | of the answer; `code` only when refused | | `principal` | who asked, as a keyed hash, once that
/// is known | | `customer`, `invoice` | what was asked for, percent-encoded, once it was read | | `replaces` | `true`
/// if it was asked for in place of a token that was refused | | `token` | the id of the token given, which says nothing
/// about it | | `incident` | also in the answer, if that has one | | `origin`, `host` | with the reasons `origin` and
/// `origin_unknown`: the page's origin and the host it asked, as scheme, host and port | | `error` | what went wrong,
/// in this package's own words, or the type of another's error |
struct Audit: Sendable {
    let logger: Logger
    let pseudonym: @Sendable (Principal) -> String

    /// What is known of a request, filled in as it is found out.
    struct Facts: Sendable {
        var principal: Principal?
        var session: CheckoutSessionRequest?
    }

    /// Why a request was answered as it was.
    enum Reason: String, Sendable {
        case allowed
        case method, host, origin
        case contentType = "content_type"
        /// The proof is one that browsers attach by themselves, and neither `Origin` nor `Sec-Fetch-Site` tells whose
        /// page asks.
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
        if let principal = facts.principal { metadata["principal"] = "\(pseudonym(principal))" }
        if let session = facts.session {
            // Encoded, since a text log would let an id with spaces pass for other fields.
            metadata["customer"] = "\(percentEncoded(session.customer))"
            metadata["invoice"] = "\(percentEncoded(session.invoice))"
            if session.replaces != nil { metadata["replaces"] = "true" }
        }
        return metadata
    }

    /// A hash whose key is made anew in each process, so that the same principal is recognized only within one.
    static func pseudonymWithinProcess(_ principal: Principal) -> String {
        var hasher = Hasher()
        hasher.combine("audit")
        hasher.combine(principal.tenant)
        hasher.combine(principal.subject)
        let hash = String(UInt(bitPattern: hasher.finalize()), radix: 16)
        return String(repeating: "0", count: max(0, 16 - hash.count)) + hash
    }
}
