public import Testing
public import TokenBroker

/// Test cases for the promises of every `AccessPolicy`, run on your fixture.
///
/// ```swift
/// struct MyFixture: AccessPolicyFixture {
///     func withPolicy(
///         _ sessions: [AccessPolicyContract.Session],
///         _ body: (AccessPolicyContract.Subject) async throws -> Void
///     ) async throws {
///         let orders = MyOrders(sessions.map { ($0.customer, $0.invoice) })
///         try await body(.init(MyPolicy(orders)) { Principal(subject: $0.customer) })
///     }
/// }
///
/// @Test(arguments: AccessPolicyContract.cases(for: MyFixture.self))
/// func contract(_ test: AccessPolicyContract.Case) async throws {
///     try await test.run(on: MyFixture())
/// }
/// ```
public enum AccessPolicyContract {
    /// The capabilities of the policy under test. Cases that need others are left out.
    public struct Capabilities: OptionSet, Sendable {
        /// The bits of the set.
        public let rawValue: Int
        /// Creates a set from its bits.
        public init(rawValue: Int) { self.rawValue = rawValue }

        /// The policy asks a server, which can be unreachable.
        public static let backend = Self(rawValue: 1)
    }

    /// A customer and one of the customer's invoices.
    public struct Session: Sendable, Hashable {
        /// The id of the customer.
        public var customer: String
        /// The id of the invoice.
        public var invoice: String

        /// Creates a session.
        /// - Parameters:
        ///   - customer: The id of the customer.
        ///   - invoice: The id of the invoice.
        public init(customer: String, invoice: String) {
            self.customer = customer
            self.invoice = invoice
        }
    }

    /// A policy under test.
    public struct Subject: Sendable {
        /// The policy.
        public var policy: any AccessPolicy
        /// Returns the principal that owns a session.
        public var owner: @Sendable (Session) -> Principal

        /// Creates a subject.
        /// - Parameters:
        ///   - policy: The policy.
        ///   - owner: Returns the principal that owns a session.
        public init(_ policy: any AccessPolicy, owner: @escaping @Sendable (Session) -> Principal) {
            self.policy = policy
            self.owner = owner
        }
    }

    /// A test case for one promise.
    public struct Case: Sendable, CustomTestStringConvertible {
        /// A description of the promise.
        public let testDescription: String
        let needs: Capabilities
        let body: @Sendable (WatchedPolicyFixture) async throws -> Void

        /// Runs the case. A case that takes longer than a minute fails, is cancelled and is not waited for.
        ///
        /// - Parameter fixture: The fixture for this run.
        /// - Throws: An error of the fixture or of the case, which fails the test.
        public func run(on fixture: some AccessPolicyFixture) async throws {
            let watched = WatchedPolicyFixture(base: fixture)
            try await runCase(within: .seconds(60), watched.runs, "withPolicy") { try await body(watched) }
        }
    }

    /// Returns the cases whose capabilities a fixture has.
    public static func cases<Fixture: AccessPolicyFixture>(for fixture: Fixture.Type) -> [Case] {
        all.filter { Fixture.capabilities.isSuperset(of: $0.needs) }
    }
}

/// A fixture that makes policies for ``AccessPolicyContract``.
public protocol AccessPolicyFixture: Sendable {
    /// The capabilities of the policy. The default is none.
    static var capabilities: AccessPolicyContract.Capabilities { get }

    /// Runs `body` with a policy.
    /// - Parameters:
    ///   - sessions: The customers and invoices that exist. Each customer is a separate principal.
    ///   - body: A closure that takes the policy under test.
    func withPolicy(
        _ sessions: [AccessPolicyContract.Session],
        _ body: (AccessPolicyContract.Subject) async throws -> Void
    ) async throws

    /// Creates the same policy while its server is unreachable.
    ///
    /// Needed for ``AccessPolicyContract/Capabilities/backend``. The default implementation returns `nil`.
    func makeUnreachablePolicy() async throws -> (any AccessPolicy)?
}

extension AccessPolicyFixture {
    /// No capabilities.
    public static var capabilities: AccessPolicyContract.Capabilities { [] }

    /// Returns `nil`.
    public func makeUnreachablePolicy() async throws -> (any AccessPolicy)? { nil }
}

/// A fixture that counts how often it runs the closure.
struct WatchedPolicyFixture: Sendable {
    let base: any AccessPolicyFixture
    let runs = Counter()

    func withPolicy(
        _ sessions: [AccessPolicyContract.Session],
        _ body: (AccessPolicyContract.Subject) async throws -> Void
    ) async throws {
        try await base.withPolicy(sessions) { subject in
            runs.next()
            try await body(subject)
        }
    }
}

extension AccessPolicyContract {
    private enum Outcome: Equatable, CustomStringConvertible {
        case yes, no
        case error(String)

        var description: String {
            switch self {
            case .yes: "yes"
            case .no: "no"
            case .error(let error): "the error \(error)"
            }
        }
    }

    private static let own = Session(customer: "cus_1", invoice: "inv_1")
    private static let others = Session(customer: "cus_2", invoice: "inv_2")

    /// Returns what the policy decides. `false`, an `AccessRefusal` and the vendor's rejection of the request are the
    /// same outcome: no.
    private static func outcome(
        _ policy: any AccessPolicy, _ principal: Principal, _ request: TokenRequest
    ) async throws -> Outcome {
        try await ended("the policy to decide") {
            do {
                return try await policy.authorize(principal, for: request) ? .yes : .no
            } catch is AccessRefusal {
                return .no
            } catch let error as TokenError where error.code == .requestRejected {
                return .no
            } catch {
                return .error("\(error)")
            }
        }
    }

    private static func request(_ customer: String, _ invoice: String) -> TokenRequest {
        TokenRequest(customer: customer, invoice: invoice)
    }

    private static func denies(
        _ description: String, unless binding: AccessBinding, _ request: TokenRequest,
        of principal: @escaping @Sendable (@Sendable (Session) -> Principal) -> Principal
    ) -> Case {
        Case(testDescription: description, needs: []) { fixture in
            try await fixture.withPolicy([own, others]) { subject in
                let (policy, owner) = (subject.policy, subject.owner)
                let outcome = try await outcome(policy, principal(owner), request)
                // A policy that binds only a part must be combined with others, so a yes is allowed.
                guard policy.binds.consequences.isSuperset(of: binding) else { return }
                expect(outcome, .no, "a policy that binds \(names(binding))")
            }
        }
    }

    private static func names(_ binding: AccessBinding) -> String {
        [(AccessBinding.customer, "the customer"), (.invoice, "the invoice")].filter { binding.contains($0.0) }
            .map(\.1).joined(separator: " and ")
    }

    private static let all: [Case] = [
        Case(testDescription: "a principal may have its own session", needs: []) { fixture in
            try await fixture.withPolicy([own, others]) { subject in
                let (policy, owner) = (subject.policy, subject.owner)
                for session in [own, others] {
                    let request = request(session.customer, session.invoice)
                    try await expect(outcome(policy, owner(session), request), .yes, "the outcome")
                }
            }
        },
        denies("another's session is denied", unless: .customer, request("cus_2", "inv_2")) { $0(own) },
        denies("another's customer is denied", unless: .customer, request("cus_2", "inv_1")) { $0(own) },
        denies("another's invoice is denied", unless: .invoice, request("cus_1", "inv_2")) { $0(own) },
        denies("an invoice that does not exist is denied", unless: .invoice, request("cus_1", "inv_9")) { $0(own) },
        denies("a customer that does not exist is denied", unless: .customer, request("cus_9", "inv_1")) { $0(own) },
        denies("a principal of which nothing is known is denied", unless: .session, request("cus_1", "inv_1")) { _ in
            Principal(subject: "nobody-knows-them")
        },
        denies("ids that begin alike are different", unless: .session, request("cus_11", "inv_11")) { $0(own) },
        denies("an empty id is denied", unless: .session, request("", "")) { $0(own) },
        denies("a request without ids is denied", unless: .session, TokenRequest()) { $0(own) },
        Case(testDescription: "ids are compared by bytes", needs: []) { fixture in
            let session = Session(customer: "caf\u{e9}", invoice: "inv_\u{e9}")
            try await fixture.withPolicy([session]) { subject in
                let (policy, owner) = (subject.policy, subject.owner)
                let binds = policy.binds.consequences
                for (customer, invoice, part) in [
                    ("cafe\u{301}", "inv_\u{e9}", AccessBinding.customer), ("caf\u{e9}", "inv_e\u{301}", .invoice),
                ] where binds.contains(part) {
                    let outcome = try await outcome(policy, owner(session), request(customer, invoice))
                    expect(outcome, .no, "another spelling of \(names(part))")
                }
            }
        },
        Case(testDescription: "an invoice that does not exist looks like another's", needs: []) { fixture in
            try await fixture.withPolicy([own, others]) { subject in
                let (policy, owner) = (subject.policy, subject.owner)
                let foreign = try await outcome(policy, owner(own), request("cus_1", "inv_2"))
                let missing = try await outcome(policy, owner(own), request("cus_1", "inv_9"))
                expect(missing, foreign, "the outcome for an invoice that does not exist")
            }
        },
        Case(testDescription: "a hundred callers at once get each their own answer", needs: []) { fixture in
            let sessions = (0..<50).map { Session(customer: "cus_\($0)", invoice: "inv_\($0)") }
            try await fixture.withPolicy(sessions) { subject in
                let (policy, owner) = (subject.policy, subject.owner)
                let binds = policy.binds.consequences
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for (index, session) in sessions.enumerated() {
                        let other = sessions[(index + 1) % sessions.count]
                        group.addTask {
                            let own = request(session.customer, session.invoice)
                            try await expect(outcome(policy, owner(session), own), .yes, "one's own session")
                            guard binds.contains(.session) else { return }
                            let foreign = request(other.customer, other.invoice)
                            try await expect(outcome(policy, owner(session), foreign), .no, "another's session")
                        }
                    }
                    try await group.waitForAll()
                }
            }
        },
        Case(testDescription: "a server out of reach is an error, neither a yes nor a no", needs: .backend) { fixture in
            // The fixture runs no closure in this case.
            fixture.runs.next()
            let policy = try #require(
                try await fixture.base.makeUnreachablePolicy(),
                "expected the fixture to make a policy whose server is unreachable, found nil")
            let outcome = try await outcome(
                policy, Principal(subject: "anna", claims: ["customer": "cus_1"]), request("cus_1", "inv_1"))
            if case .error = outcome { return }
            Issue.record("expected an error while the server is out of reach, found \(outcome)")
        },
    ]
}
