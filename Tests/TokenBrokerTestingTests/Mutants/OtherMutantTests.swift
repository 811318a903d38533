import Foundation
import HTTPTypes
import Synchronization
import Testing
import TokenBroker
import TokenBrokerTesting

// MARK: - Credential sources

private enum SourceMutation: String, CaseIterable {
    case none
    case absentIsAnError, brokenIsAbsent, quotesContent, readsOnce, tearsCredentials, showsSecrets, onlyFirst, hangs

    var caught: (by: String, saying: String) {
        let change = "a change takes effect, and an id never comes with another's secret"
        let broken = "what cannot be used is an error that names the source"
        return switch self {
        case .none: ("", "")
        case .absentIsAnError: ("nothing there is an empty array and no error", "malformed")
        case .brokenIsAbsent: (broken, "expected a CredentialError, found 0 credentials")
        case .quotesContent: (broken, "expected an error without a client id")
        case .readsOnce: (change, "expected credential 2 within 15 s of the change, found [\"1\"]")
        case .tearsCredentials: (change, "found [\"one that was never there")
        case .showsSecrets: ("nothing in the source's text is a secret", "expected a source as text without")
        case .onlyFirst: ("several credentials keep their order", "expected [\"2\", \"1\"], found [\"2\"]")
        case .hangs: ("the credential that is there is returned", "expected the credentials within")
        }
    }
}

private struct MutantSource: CredentialSource, CustomStringConvertible {
    let content: Shared
    let mutation: SourceMutation

    final class Shared: Sendable {
        let content: Mutex<(now: CredentialSourceContract.Content, before: CredentialSourceContract.Content)>
        init(_ content: CredentialSourceContract.Content) { self.content = Mutex((content, content)) }
    }

    var description: String {
        guard mutation == .showsSecrets, case .credentials(let all) = content.content.withLock({ $0.now }) else {
            return "MutantSource"
        }
        return all.map { $0.clientSecret.reveal() }.joined()
    }

    func credentials(for account: Account) async throws(CredentialError) -> [Credential] {
        let (now, before) = content.content.withLock { $0 }
        if mutation == .hangs {
            while true { try? await Task.sleep(for: .seconds(3600)) }
        }
        switch (mutation == .readsOnce ? before : now) {
        case .credentials(let credentials) where mutation == .onlyFirst: return Array(credentials.prefix(1))
        case .credentials(let credentials):
            guard mutation == .tearsCredentials, case .credentials(let old) = before, let first = credentials.first,
                let last = old.first
            else { return credentials }
            return [Credential(clientID: first.clientID, clientSecret: last.clientSecret)]
        case .absent where mutation == .absentIsAnError:
            throw CredentialError(.malformed, source: "a mutant", message: "expected credentials, found nothing")
        case .absent: return []
        case .broken where mutation == .brokenIsAbsent: return []
        case .broken(let text):
            let found = mutation == .quotesContent ? text : "something else"
            throw CredentialError(.malformed, source: "a mutant", message: "expected credentials, found \(found)")
        }
    }
}

private struct SourceFixture: CredentialSourceFixture {
    static let capabilities: CredentialSourceContract.Capabilities = [.absent, .broken, .changes, .several]
    let mutation: SourceMutation

    func withSource(
        _ content: CredentialSourceContract.Content,
        _ body: (CredentialSourceContract.Subject) async throws -> Void
    ) async throws {
        let shared = MutantSource.Shared(content)
        try await body(
            .init(MutantSource(content: shared, mutation: mutation)) { content in
                shared.content.withLock { $0.now = content }
            })
    }
}

// MARK: - Authenticators

private enum AuthenticatorMutation: String, CaseIterable {
    case none
    case believesNames, takesFirstOfTwo, throwsAtNonsense, yesWithoutServer, noWithoutServer, oneForAll, hangs

    var caught: (by: String, saying: String) {
        switch self {
        case .none: ("", "")
        case .believesNames:
            ("a name without its proof is nobody", "expected nobody, found the principal sentinel-anna")
        case .takesFirstOfTwo: ("two proofs are none", "expected nobody, found the principal sentinel-anna")
        case .throwsAtNonsense: ("a malformed proof is nobody, whatever it is", "expected nobody, found the error")
        case .yesWithoutServer:
            ("a server out of reach is an error, neither a yes nor a no", "found the principal sentinel-anna")
        case .noWithoutServer: ("a server out of reach is an error, neither a yes nor a no", "found nobody")
        case .oneForAll: ("a valid proof names its principal", "expected the principal sentinel-berta")
        case .hangs: ("no proof is nobody", "expected the authenticator to decide within")
        }
    }
}

private struct Failed: Error {}

private struct AuthenticatorMutantFixture: AuthenticatorFixture {
    static let capabilities: AuthenticatorContract.Capabilities = .backend
    let mutation: AuthenticatorMutation

    func makeAuthenticator() -> any Authenticator { authenticator(isReachable: true) }
    func makeUnreachableAuthenticator() -> any Authenticator { authenticator(isReachable: false) }

    private func authenticator(isReachable: Bool) -> any Authenticator {
        let first = Mutex<Principal?>(nil)
        let memory = Memory(first: first)
        return ClosureAuthenticator { [mutation] request in
            if mutation == .hangs { while true { try await Task.sleep(for: .seconds(3600)) } }
            let proofs = request.head.headerFields[values: .authorization]
            guard let proof = proofs.first, proofs.count == 1 || mutation == .takesFirstOfTwo else { return nil }
            if !isReachable && mutation != .yesWithoutServer {
                if mutation == .noWithoutServer { return nil }
                throw Failed()
            }
            if proof.hasPrefix("ticket:") {
                let principal = Principal(subject: String(proof.dropFirst(7)))
                return mutation == .oneForAll ? memory.remembered(principal) : principal
            }
            if mutation == .throwsAtNonsense { throw Failed() }
            return mutation == .believesNames && proof.hasPrefix("name:")
                ? Principal(subject: String(proof.dropFirst(5))) : nil
        }
    }

    private final class Memory: Sendable {
        let first: Mutex<Principal?>
        init(first: consuming sending Mutex<Principal?>) { self.first = first }
        func remembered(_ principal: Principal) -> Principal {
            first.withLock { first in
                if first == nil { first = principal }
                return first ?? principal
            }
        }
    }

    func request(_ proof: AuthenticatorContract.Proof) -> EndpointRequest {
        switch proof {
        case .missing: endpointRequest([])
        case .valid(let subject): endpointRequest([("Authorization", "ticket:\(subject)")])
        case .forged(let subject): endpointRequest([("Authorization", "name:\(subject)")])
        case .malformed(let text): endpointRequest([("Authorization", text)])
        case .repeated(let first, let second):
            endpointRequest([first, second].map { ("Authorization", "ticket:\($0)") })
        }
    }
}

// MARK: - Policies

private enum PolicyMutation: String, CaseIterable {
    case none
    case yesToAll, ignoresInvoice, ignoresCustomer, comparesBeginnings, comparesCharacters, yesWithoutServer
    case noWithoutServer, tellsWhatExists, noToAll, runsNothing

    var caught: (by: String, saying: String) {
        switch self {
        case .none: ("", "")
        case .yesToAll: ("another's session is denied", "expected no, found yes")
        case .ignoresInvoice: ("another's invoice is denied", "expected no, found yes")
        case .ignoresCustomer: ("another's customer is denied", "expected no, found yes")
        case .comparesBeginnings: ("ids that begin alike are different", "expected no, found yes")
        case .comparesCharacters:
            ("ids are compared by bytes", "another spelling of the customer: expected no, found yes")
        case .yesWithoutServer: ("a server out of reach is an error, neither a yes nor a no", "found yes")
        case .noWithoutServer: ("a server out of reach is an error, neither a yes nor a no", "found no")
        case .tellsWhatExists: ("an invoice that does not exist looks like another's", "expected no, found the error")
        case .noToAll: ("a principal may have its own session", "expected yes, found no")
        case .runsNothing: ("a principal may have its own session", "expected the fixture's `withPolicy` to run")
        }
    }
}

private struct PolicyMutantFixture: AccessPolicyFixture {
    static let capabilities: AccessPolicyContract.Capabilities = .backend
    let mutation: PolicyMutation

    func withPolicy(
        _ sessions: [AccessPolicyContract.Session], _ body: (AccessPolicyContract.Subject) async throws -> Void
    ) async throws {
        if mutation == .runsNothing { return }
        try await body(
            .init(policy(sessions, isReachable: true)) { session in
                Principal(
                    subject: session.customer,
                    claims: ["customer": .string(session.customer), "invoice": .string(session.invoice)])
            })
    }

    func makeUnreachablePolicy() -> (any AccessPolicy)? { policy([], isReachable: false) }

    private func policy(_ sessions: [AccessPolicyContract.Session], isReachable: Bool) -> ClosurePolicy {
        let invoices = Set(sessions.map { ExactString($0.invoice) })
        return ClosurePolicy(binds: .session) { [mutation] principal, request in
            if !isReachable {
                if mutation == .noWithoutServer { return false }
                if mutation != .yesWithoutServer { throw Failed() }
                return true
            }
            guard let customer = request.inputs[.customer], let invoice = request.inputs[.invoice] else {
                return mutation == .yesToAll
            }
            if mutation == .tellsWhatExists && !invoices.contains(invoice) { throw Failed() }
            let own = (principal.claims["customer"]?.string ?? "\u{0}", principal.claims["invoice"]?.string ?? "\u{0}")
            return switch mutation {
            case .yesToAll: true
            case .noToAll: false
            case .ignoresInvoice: customer == own.0
            case .ignoresCustomer: invoice == own.1
            case .comparesBeginnings:
                customer.unicode.hasPrefix(own.0.unicode) && invoice.unicode.hasPrefix(own.1.unicode)
            case .comparesCharacters: customer.unicode == own.0.unicode && invoice.unicode == own.1.unicode
            default: customer == own.0 && invoice == own.1
            }
        }
    }
}

struct OtherMutantTests {
    @Test(arguments: SourceMutation.allCases.filter { $0 != .none })
    private func `a credential source that breaks a promise is caught by its contract`(
        _ mutation: SourceMutation
    ) async throws {
        let (name, words) = mutation.caught
        let test = try only(name, of: CredentialSourceContract.cases(for: SourceFixture.self))
        try await expectCaught(words) { try await test.run(on: SourceFixture(mutation: mutation)) }
    }

    @Test(arguments: CredentialSourceContract.cases(for: SourceFixture.self))
    func `a credential source without a mutation passes its contract`(
        _ test: CredentialSourceContract.Case
    ) async throws {
        try await test.run(on: SourceFixture(mutation: .none))
    }

    @Test(arguments: AuthenticatorMutation.allCases.filter { $0 != .none })
    private func `an authenticator that breaks a promise is caught by its contract`(
        _ mutation: AuthenticatorMutation
    ) async throws {
        let (name, words) = mutation.caught
        let test = try only(name, of: AuthenticatorContract.cases(for: AuthenticatorMutantFixture.self))
        try await expectCaught(words) { try await test.run(on: AuthenticatorMutantFixture(mutation: mutation)) }
    }

    @Test(arguments: AuthenticatorContract.cases(for: AuthenticatorMutantFixture.self))
    func `an authenticator without a mutation passes its contract`(
        _ test: AuthenticatorContract.Case
    ) async throws {
        try await test.run(on: AuthenticatorMutantFixture(mutation: .none))
    }

    @Test(arguments: PolicyMutation.allCases.filter { $0 != .none })
    private func `an access policy that breaks a promise is caught by its contract`(
        _ mutation: PolicyMutation
    ) async throws {
        let (name, words) = mutation.caught
        let test = try only(name, of: AccessPolicyContract.cases(for: PolicyMutantFixture.self))
        try await expectCaught(words) { try await test.run(on: PolicyMutantFixture(mutation: mutation)) }
    }

    @Test(arguments: AccessPolicyContract.cases(for: PolicyMutantFixture.self))
    func `an access policy without a mutation passes its contract`(_ test: AccessPolicyContract.Case) async throws {
        try await test.run(on: PolicyMutantFixture(mutation: .none))
    }
}
