/// A no, and why, for the log. The page is not told.
///
/// ```swift
/// guard let session = sessions[id] else { throw AccessRefusal("session_unknown") }
/// ```
public struct AccessRefusal: SafeToLog, Sendable, Hashable {
    /// Codes such as `token_expired`; several if several policies refuse.
    public let reasons: [String]

    /// - Parameter reason: A code in lower case with underscores. It is written out in the source, so that nothing of a
    ///   request is ever in it.
    public init(_ reason: StaticString) { reasons = ["\(reason)"] }

    package init(reasons: [String]) { self.reasons = reasons }

    /// The codes, joined by commas.
    public var description: String { reasons.joined(separator: ",") }
}

/// What a policy says when it can tell.
package enum Verdict: Sendable, Hashable {
    case yes
    case no(AccessRefusal?)

    /// In the form in which a policy says it.
    package func get() throws(AccessRefusal) -> Bool {
        switch self {
        case .yes: return true
        case .no(nil): return false
        case .no(let refusal?): throw refusal
        }
    }
}

extension AccessPolicy {
    /// The same for a no with a reason and one without.
    package func verdict(_ principal: Principal, for request: TokenRequest) async throws -> Verdict {
        do {
            return try await authorize(principal, for: request) ? .yes : .no(nil)
        } catch let refusal as AccessRefusal {
            return .no(refusal)
        }
    }
}
