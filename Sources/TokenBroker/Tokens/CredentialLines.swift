import Synchronization

/// What is remembered of the pairs that the source has: the line of each, and what was refused to it. It goes with the pair.
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
        /// The pair is refused, whatever is asked for.
        var refusal: Refusal?
        /// Requests that are refused, such as for an unknown scope.
        var refusals: [TokenRequest: Refusal] = [:]

        func refusal(of request: TokenRequest) -> Refusal? { refusal ?? refusals[request] }
    }

    private let lines = Mutex<[Line]>([])

    /// The pairs that the source had last; `nil` if it never had any.
    var known: [Credential]? {
        let known = lines.withLock { $0.map(\.credential) }
        return known.isEmpty ? nil : known
    }

    /// Takes over what the source has now. The lines of pairs that are gone are superseded.
    /// - Returns: Whether that is a change, other than the first pairs.
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

    /// Those that may be used for a request, in the source's order.
    func usable(for request: TokenRequest, of credentials: [Credential], now: Duration) -> [(Credential, Lineage)] {
        lines.withLock { lines in
            _ = update(credentials, &lines)
            return lines.filter { line in line.refusal(of: request).map { $0.until <= now } ?? true }
                .map { ($0.credential, $0.lineage) }
        }
    }

    /// Why a request is not sent, with the time until it is.
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

    var areAllRefused: Bool { lines.withLock { lines in !lines.isEmpty && lines.allSatisfy { $0.refusal != nil } } }

    /// What was refused last and may be tried again, if all pairs are refused.
    func probe(now: Duration) -> TokenRequest? {
        lines.withLock { lines in
            guard lines.allSatisfy({ $0.refusal != nil }) else { return nil }
            return lines.lazy.compactMap(\.refusal).first { $0.until <= now }?.request
        }
    }

    /// - Returns: Whether this pair had been refused.
    func accept(_ credential: Credential, for request: TokenRequest) -> Bool {
        lines.withLock { lines in
            guard let index = lines.firstIndex(where: { $0.credential == credential }) else { return false }
            defer { (lines[index].refusal, lines[index].refusals[request]) = (nil, nil) }
            return lines[index].refusal != nil
        }
    }

    func refuse(_ credential: Credential, for request: TokenRequest, _ error: TokenError, now: Duration) {
        lines.withLock { lines in
            // A pair that was replaced meanwhile is none of the new one's fault.
            guard let index = lines.firstIndex(where: { $0.credential == credential }) else { return }
            guard error.code == .credentialsRejected else {
                // Whoever makes up scopes does not fill the memory.
                if lines[index].refusals.count >= 1_000 { lines[index].refusals = [:] }
                lines[index].refusals[request] = Refusal(
                    error, request, after: lines[index].refusals[request], now: now
                )
                return
            }
            lines[index].refusal = Refusal(error, request, after: lines[index].refusal, now: now)
            // Tokens it brought may still hold; they are renewed with another pair, if there is one.
            if lines.count > 1 {
                lines[index].lineage.supersede()
                lines[index].lineage = Lineage()
            }
        }
    }
}
