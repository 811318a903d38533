/// A policy that allows access if all of its members do.
///
/// All members are asked at the same time, whatever the others decide, so that neither the duration of a refusal nor
/// the servers that are called reveal which member refused. If a member fails, the combination fails, even if another
/// member refuses. Otherwise, while one member is unreachable, the response would reveal what another member decided,
/// such as whether an invoice exists.
public struct AllOf: AccessPolicy {
    /// The members. Without any, access is denied.
    public let members: [any AccessPolicy]

    /// Creates a combination.
    ///
    /// - Parameter members: The members, at least one.
    public init(_ members: [any AccessPolicy]) { self.members = members }

    /// What any of the members proves, and what follows from all of it together.
    public var binds: AccessBinding {
        members.reduce(AccessBinding()) { $0.union($1.binds) }.consequences
    }

    /// Asks all members and returns whether all of them allow access.
    /// - Throws: The error of a member that fails, or ``AccessRefusal`` with the reasons of all members that refuse.
    public func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool {
        let verdicts = try await verdicts(of: members, principal, request).map { try $0.get() }
        if verdicts.isEmpty { return false }
        return try verdicts.allSatisfy { $0 == .yes } || combinedRefusal(verdicts).get()
    }
}

/// A policy that allows access if at least one of its members does.
///
/// All members are asked at once, as in ``AllOf``. The failure of a member does not count if another one allows access.
public struct AnyOf: AccessPolicy {
    /// The members. Without any, access is denied.
    public let members: [any AccessPolicy]

    /// Creates a combination.
    ///
    /// - Parameter members: The members, at least one.
    public init(_ members: [any AccessPolicy]) { self.members = members }

    /// What every one of the members proves.
    public var binds: AccessBinding {
        guard let first = members.first else { return [] }
        return members.dropFirst().reduce(first.binds.consequences) { $0.intersection($1.binds.consequences) }
    }

    /// Asks all members and returns whether one of them allows access.
    /// - Throws: The error of a member that fails, or ``AccessRefusal`` with the reasons of all members that refuse.
    public func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool {
        let verdicts = await verdicts(of: members, principal, request)
        if verdicts.contains(where: { (try? $0.get()) == .yes }) { return true }
        return try combinedRefusal(verdicts.map { try $0.get() }).get()
    }
}

/// Returns a refusal with the reasons of all members that refuse, each once.
private func combinedRefusal(_ verdicts: [Verdict]) -> Verdict {
    var reasons: [String] = []
    for case .no(let refusal?) in verdicts { reasons += refusal.reasons.filter { !reasons.contains($0) } }
    return .no(reasons.isEmpty ? nil : AccessRefusal(reasons: reasons))
}

/// Returns the verdicts in the order of the members, once all of them have decided.
private func verdicts(
    of members: [any AccessPolicy], _ principal: Principal, _ request: TokenRequest
) async -> [Result<Verdict, any Error>] {
    await withTaskGroup(of: (Int, Result<Verdict, any Error>).self) { group in
        for (index, member) in members.enumerated() {
            group.addTask {
                do {
                    return (index, .success(try await member.verdict(principal, for: request)))
                } catch {
                    return (index, .failure(error))
                }
            }
        }
        var verdicts: [(Int, Result<Verdict, any Error>)] = []
        for await verdict in group { verdicts.append(verdict) }
        return verdicts.sorted { $0.0 < $1.0 }.map(\.1)
    }
}

extension AllOf: Composite {
    /// The members.
    public var components: [any Sendable] { members }
}

extension AnyOf: Composite {
    /// The members.
    public var components: [any Sendable] { members }
}
