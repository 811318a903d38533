import Synchronization

/// What is known about the source's credentials: the lineage of each one, and what the vendor refused to it. This
/// knowledge is dropped together with the credential.
final class CredentialLines: Sendable {
    private struct Refusal {
        var error: TokenError
        var request: TokenRequest
        var until: Duration
        var count: Int

        private static let rest = Backoff(first: .seconds(30), longest: .seconds(600))

        init(_ error: TokenError, _ request: TokenRequest, after former: Refusal?, now: Duration) {
            self.error = error
            self.request = request
            count = (former?.count ?? 0) + 1
            until = now + Self.rest.pause(after: count)
        }
    }

    private struct Line {
        var credential: Credential
        var lineage = Lineage()
        /// The refusal of the credential itself, whatever is requested.
        var refusal: Refusal?
        /// The refusals of single requests, such as one for an unknown scope.
        var refusals: [TokenRequest: Refusal] = [:]

        func refusal(of request: TokenRequest) -> Refusal? { refusal ?? refusals[request] }
    }

    private let lines = Mutex<[Line]>([])

    /// The last known credentials; `nil` if the source never had any.
    var known: [Credential]? {
        let known = lines.withLock { $0.map(\.credential) }
        return known.isEmpty ? nil : known
    }

    /// Adopts the source's current credentials, and supersedes the lineages of those that are gone.
    /// - Returns: Whether the credentials changed. The first ones are not a change.
    func update(_ credentials: [Credential]) -> Bool { lines.withLock { update(credentials, &$0) } }

    private func update(_ credentials: [Credential], _ lines: inout [Line]) -> Bool {
        guard lines.map(\.credential) != credentials else { return false }
        for line in lines where !credentials.contains(line.credential) { line.lineage.supersede() }
        let former = lines
        lines = credentials.map { credential in
            former.first { $0.credential == credential } ?? Line(credential: credential)
        }
        return !former.isEmpty
    }

    /// Returns the credentials that may be used for a request, in the source's order.
    func usable(for request: TokenRequest, of credentials: [Credential], now: Duration) -> [(Credential, Lineage)] {
        lines.withLock { lines in
            _ = update(credentials, &lines)
            return lines.filter { line in line.refusal(of: request).map { $0.until <= now } ?? true }
                .map { ($0.credential, $0.lineage) }
        }
    }

    /// Returns the credential whose line begins with this member; `nil` if the credential is gone.
    func credential(from start: Lineage) -> Credential? {
        lines.withLock { lines in lines.first { $0.lineage === start }?.credential }
    }

    /// Returns the reason why a request is not sent, with the time until it may be sent.
    func refusal(of request: TokenRequest, now: Duration) -> TokenError? {
        lines.withLock { lines in
            let refusals = lines.compactMap { $0.refusal(of: request) }
            guard let refusal = refusals.min(by: { $0.until < $1.until }) else { return nil }
            var error = refusal.error
            error.retryAfter = max(.zero, refusal.until - now)
            error.wasRetried = true
            return error
        }
    }

    var refusedCount: Int { lines.withLock { lines in lines.count { $0.refusal != nil } } }

    var areAllRefused: Bool { lines.withLock { lines in !lines.isEmpty && lines.allSatisfy { $0.refusal != nil } } }

    /// Returns a refused request that may be tried again, if all credentials are refused.
    func probe(now: Duration) -> TokenRequest? {
        lines.withLock { lines in
            guard lines.allSatisfy({ $0.refusal != nil }) else { return nil }
            return lines.lazy.compactMap(\.refusal).first { $0.until <= now }?.request
        }
    }

    /// Forgets the refusals of a credential that the vendor accepted.
    /// - Returns: Whether the credential had been refused.
    func accept(_ credential: Credential, for request: TokenRequest) -> Bool {
        lines.withLock { lines in
            guard let index = lines.firstIndex(where: { $0.credential == credential }) else { return false }
            defer { (lines[index].refusal, lines[index].refusals[request]) = (nil, nil) }
            return lines[index].refusal != nil
        }
    }

    func refuse(_ credential: Credential, for request: TokenRequest, _ error: TokenError, now: Duration) {
        lines.withLock { lines in
            // The refusal of a credential that was replaced meanwhile says nothing about the new one.
            guard let index = lines.firstIndex(where: { $0.credential == credential }) else { return }
            guard error.code == .credentialsRejected else {
                // Bounds the memory, even if a caller invents scopes.
                if lines[index].refusals.count >= 1_000 { lines[index].refusals = [:] }
                lines[index].refusals[request] = Refusal(
                    error, request, after: lines[index].refusals[request], now: now
                )
                return
            }
            lines[index].refusal = Refusal(error, request, after: lines[index].refusal, now: now)
            // Its tokens may still be valid. They are renewed with another credential, if there is one.
            if lines.count > 1 {
                lines[index].lineage.supersede()
                lines[index].lineage = Lineage()
            }
        }
    }
}
