/// Says yes if every one of its members does.
///
/// Every member is asked, all at once, whatever the others say: neither the time that a refusal takes nor which
/// server is asked for it tells who refused. A member that fails makes the whole fail, even if another says no:
/// otherwise the answer would tell, while one member is out of reach, what the other one says, such as whether an
/// invoice is there.
public struct AllOf: AccessPolicy {
    /// At least one; with none the answer is no.
    public let members: [any AccessPolicy]

    /// - Parameter members: At least one.
    public init(_ members: [any AccessPolicy]) { self.members = members }

    /// What any of them proves, and what follows from it together.
    public var binds: AccessBinding {
        members.reduce(AccessBinding()) { $0.union($1.binds) }.consequences
    }

    /// See ``AccessPolicy/authorize(_:for:)``; the type tells what is particular.
    public func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool {
        let verdicts = try await verdicts(of: members, principal, request).map { try $0.get() }
        if verdicts.isEmpty { return false }
        return try verdicts.allSatisfy { $0 == .yes } || combinedRefusal(verdicts).get()
    }
}

/// Says yes if one of its members does.
///
/// Every member is asked, all at once, as in ``AllOf``. One that fails does not count as long as another says yes.
public struct AnyOf: AccessPolicy {
    /// At least one; with none the answer is no.
    public let members: [any AccessPolicy]

    /// - Parameter members: At least one.
    public init(_ members: [any AccessPolicy]) { self.members = members }

    /// What every one of them proves.
    public var binds: AccessBinding {
        guard let first = members.first else { return [] }
        return members.dropFirst().reduce(first.binds.consequences) { $0.intersection($1.binds.consequences) }
    }

    /// See ``AccessPolicy/authorize(_:for:)``; the type tells what is particular.
    public func authorize(_ principal: Principal, for request: TokenRequest) async throws -> Bool {
        let verdicts = await verdicts(of: members, principal, request)
        if verdicts.contains(where: { (try? $0.get()) == .yes }) { return true }
        return try combinedRefusal(verdicts.map { try $0.get() }).get()
    }
}

/// A no with the reasons of all that refuse, each once.
private func combinedRefusal(_ verdicts: [Verdict]) -> Verdict {
    var reasons: [String] = []
    for case .no(let refusal?) in verdicts { reasons += refusal.reasons.filter { !reasons.contains($0) } }
    return .no(reasons.isEmpty ? nil : AccessRefusal(reasons: reasons))
}

/// In the order of the members, when the last of them has answered.
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
    /// Its members.
    public var components: [any Sendable] { members }
}

extension AnyOf: Composite {
    /// Its members.
    public var components: [any Sendable] { members }
}
