/// A refusal of access with a reason for the log. The page is not told the reason.
///
/// ```swift
/// guard let session = sessions[id] else { throw AccessRefusal("session_unknown") }
/// ```
public struct AccessRefusal: SafeToLog, Sendable, Hashable {
    /// The codes of the reasons, such as `token_expired`; several if several policies refuse.
    public let reasons: [String]

    /// Creates a refusal with one reason.
    ///
    /// - Parameter reason: A code in lower case with underscores. It must be a literal, so that it cannot contain
    ///   anything from a request.
    public init(_ reason: StaticString) { reasons = ["\(reason)"] }

    package init(reasons: [String]) { self.reasons = reasons }

    /// The codes, joined by commas.
    public var description: String { reasons.joined(separator: ",") }
}

/// The decision of a policy that could decide.
package enum Verdict: Sendable, Hashable {
    case yes
    case no(AccessRefusal?)

    /// Returns whether access is allowed, or throws the refusal that has a reason, as a policy does.
    package func get() throws(AccessRefusal) -> Bool {
        switch self {
        case .yes: return true
        case .no(nil): return false
        case .no(let refusal?): throw refusal
        }
    }
}

extension AccessPolicy {
    /// Returns the policy's decision. A refusal is a value, whether or not it has a reason.
    package func verdict(_ principal: Principal, for request: TokenRequest) async throws -> Verdict {
        do {
            return try await authorize(principal, for: request) ? .yes : .no(nil)
        } catch let refusal as AccessRefusal {
            return .no(refusal)
        }
    }
}
