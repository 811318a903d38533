public import Testing
public import TokenBroker

/// Test cases for the promises of every `Authenticator`, run on your fixture.
///
/// ```swift
/// struct MyFixture: AuthenticatorFixture {
///     let sessions = MySessions()
///
///     func makeAuthenticator() -> any Authenticator { MyAuthenticator(sessions) }
///
///     func request(_ proof: AuthenticatorContract.Proof) -> EndpointRequest {
///         switch proof {
///         case .missing: request(cookies: [])
///         case .valid(let subject): request(cookies: [sessions.signIn(subject)])
///         case .forged(let subject): request(cookies: [subject])
///         case .malformed(let text): request(cookies: [text])
///         case .repeated(let first, let second): request(cookies: [sessions.signIn(first), sessions.signIn(second)])
///         }
///     }
/// }
///
/// @Test(arguments: AuthenticatorContract.cases(for: MyFixture.self))
/// func contract(_ test: AuthenticatorContract.Case) async throws {
///     try await test.run(on: MyFixture())
/// }
/// ```
public enum AuthenticatorContract {
    /// The capabilities of the authenticator under test. Cases that need others are left out.
    public struct Capabilities: OptionSet, Sendable {
        /// The bits of the set.
        public let rawValue: Int
        /// Creates a set from its bits.
        public init(rawValue: Int) { self.rawValue = rawValue }

        /// The authenticator asks a server, which can be unreachable.
        public static let backend = Self(rawValue: 1)
    }

    /// The proof of identity that a request carries.
    public enum Proof: Sendable, Hashable {
        /// No proof.
        case missing
        /// A valid proof for this subject.
        case valid(String)
        /// The name of this subject, without a valid proof.
        case forged(String)
        /// This text in place of a proof.
        case malformed(String)
        /// Two valid proofs, one for each of these subjects.
        case repeated(String, String)
    }

    /// A test case for one promise.
    public struct Case: Sendable, CustomTestStringConvertible {
        /// A description of the promise.
        public let testDescription: String
        let needs: Capabilities
        let body: @Sendable (any AuthenticatorFixture) async throws -> Void

        /// Runs the case. A case that takes longer than a minute fails, is cancelled and is not waited for.
        ///
        /// - Parameter fixture: The fixture for this run.
        /// - Throws: An error of the fixture or of the case, which fails the test.
        public func run(on fixture: some AuthenticatorFixture) async throws {
            let runs = Counter()
            runs.next()
            try await runCase(within: .seconds(60), runs, "makeAuthenticator") { try await body(fixture) }
        }
    }

    /// Returns the cases whose capabilities a fixture has.
    public static func cases<Fixture: AuthenticatorFixture>(for fixture: Fixture.Type) -> [Case] {
        all.filter { Fixture.capabilities.isSuperset(of: $0.needs) }
    }
}

/// A fixture that makes authenticators and requests for ``AuthenticatorContract``.
public protocol AuthenticatorFixture: Sendable {
    /// The capabilities of the authenticator. The default is none.
    static var capabilities: AuthenticatorContract.Capabilities { get }

    /// Creates the authenticator.
    func makeAuthenticator() async throws -> any Authenticator

    /// Creates the same authenticator while its server is unreachable.
    ///
    /// Needed for ``AuthenticatorContract/Capabilities/backend``. The default implementation returns
    /// ``makeAuthenticator()``.
    func makeUnreachableAuthenticator() async throws -> any Authenticator

    /// Creates a request that carries a proof. The case chooses the subjects, so ``makeAuthenticator()`` cannot know
    /// them in advance.
    func request(_ proof: AuthenticatorContract.Proof) async throws -> EndpointRequest
}

extension AuthenticatorFixture {
    /// No capabilities.
    public static var capabilities: AuthenticatorContract.Capabilities { [] }

    /// Returns ``makeAuthenticator()``.
    public func makeUnreachableAuthenticator() async throws -> any Authenticator { try await makeAuthenticator() }
}

extension AuthenticatorContract {
    private enum Outcome: Equatable, CustomStringConvertible {
        case principal(ExactString)
        case nobody
        case error(String)

        var description: String {
            switch self {
            case .principal(let subject): "the principal \(subject.unicode)"
            case .nobody: "nobody"
            case .error(let error): "the error \(error)"
            }
        }
    }

    /// Returns what the authenticator decides. `nil` and an `AccessRefusal` are the same outcome: nobody.
    private static func outcome(_ authenticator: any Authenticator, _ request: EndpointRequest) async throws -> Outcome
    {
        try await ended("the authenticator to decide") {
            do {
                return try await authenticator.authenticate(request).map { .principal($0.subject) } ?? .nobody
            } catch let refusal as AccessRefusal {
                if "\(refusal)".contains("sentinel") {
                    Issue.record("expected a refusal that repeats nothing from the request, found \(refusal)")
                }
                return .nobody
            } catch {
                return .error("\(error)")
            }
        }
    }

    private static func nobody(_ description: String, _ proofs: [Proof]) -> Case {
        Case(testDescription: description, needs: []) { fixture in
            let authenticator = try await fixture.makeAuthenticator()
            for proof in proofs {
                let request = try await fixture.request(proof)
                try await expect(outcome(authenticator, request), .nobody, "\(proof)")
                // The method must handle an invalid proof as well. It does no I/O.
                _ = authenticator.proof(in: request)
            }
        }
    }

    private static let all: [Case] = [
        Case(testDescription: "a valid proof names its principal", needs: []) { fixture in
            let authenticator = try await fixture.makeAuthenticator()
            for subject in ["sentinel-anna", "sentinel-berta"] {
                let request = try await fixture.request(.valid(subject))
                try await expect(outcome(authenticator, request), .principal(ExactString(subject)), "the outcome")
            }
        },
        nobody("no proof is nobody", [.missing]),
        nobody("a name without its proof is nobody", [.forged("sentinel-anna")]),
        nobody(
            "a malformed proof is nobody, whatever it is",
            [
                "", " ", "x", ".", "..", "a.b.c", "null", "{}", "Bearer", "Bearer ", "%", "%00", "=", ",", ";",
                "sentinel-anna", "'; --", "é", "e\u{301}", String(repeating: "a", count: 5000),
                String(repeating: ".", count: 5000),
            ].map { Proof.malformed($0) }),
        nobody(
            "two proofs are none",
            [.repeated("sentinel-anna", "sentinel-berta"), .repeated("sentinel-anna", "sentinel-anna")]),
        Case(testDescription: "subjects are compared by bytes", needs: []) { fixture in
            let authenticator = try await fixture.makeAuthenticator()
            let spellings = ["caf\u{e9}", "cafe\u{301}"]
            for spelling in spellings {
                let request = try await fixture.request(.valid(spelling))
                let outcome = try await outcome(authenticator, request)
                // A proof may be unable to carry this text, but it must not pass for someone else's.
                if outcome != .nobody { expect(outcome, .principal(ExactString(spelling)), "the outcome") }
            }
        },
        Case(testDescription: "a hundred callers at once are each themselves", needs: []) { fixture in
            let authenticator = try await fixture.makeAuthenticator()
            var requests: [(String, EndpointRequest)] = []
            for index in 0..<100 {
                requests.append(("sentinel-\(index)", try await fixture.request(.valid("sentinel-\(index)"))))
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (subject, request) in requests {
                    group.addTask {
                        let outcome = try await outcome(authenticator, request)
                        expect(outcome, .principal(ExactString(subject)), "the outcome")
                    }
                }
                try await group.waitForAll()
            }
        },
        Case(testDescription: "a server out of reach is an error, neither a yes nor a no", needs: .backend) { fixture in
            let authenticator = try await fixture.makeUnreachableAuthenticator()
            let outcome = try await outcome(authenticator, try await fixture.request(.valid("sentinel-anna")))
            if case .error = outcome { return }
            Issue.record("expected an error while the server is out of reach, found \(outcome)")
        },
    ]
}
