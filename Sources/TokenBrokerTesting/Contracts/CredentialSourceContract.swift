public import Testing
public import TokenBroker

/// Test cases for the promises of every `CredentialSource`, run on your fixture.
///
/// ```swift
/// struct MyFixture: CredentialSourceFixture {
///     static let capabilities: CredentialSourceContract.Capabilities = [.absent, .broken]
///
///     func withSource(
///         _ content: CredentialSourceContract.Content,
///         _ body: (CredentialSourceContract.Subject) async throws -> Void
///     ) async throws {
///         let store = MyStore()
///         try await store.write(content)
///         try await body(.init(MySource(store)) { try await store.write($0) })
///     }
/// }
///
/// @Test(arguments: CredentialSourceContract.cases(for: MyFixture.self))
/// func contract(_ test: CredentialSourceContract.Case) async throws {
///     try await test.run(on: MyFixture())
/// }
/// ```
public enum CredentialSourceContract {
    /// The capabilities of the source under test. Cases that need others are left out.
    public struct Capabilities: OptionSet, Sendable {
        /// The bits of the set.
        public let rawValue: Int
        /// Creates a set from its bits.
        public init(rawValue: Int) { self.rawValue = rawValue }

        /// The place where the source looks can be empty.
        public static let absent = Self(rawValue: 1)
        /// The source's content can be unusable.
        public static let broken = Self(rawValue: 2)
        /// A change takes effect while the source is in use.
        public static let changes = Self(rawValue: 4)
        /// The source can hold several credentials, in order of preference.
        public static let several = Self(rawValue: 8)
    }

    /// The content that the source finds where it looks.
    public enum Content: Sendable {
        /// Credentials, in order of preference.
        case credentials([Credential])
        /// No content. Needs ``Capabilities/absent``.
        case absent
        /// Unusable content: this value as a client id without a secret, or as text that is not in the source's format.
        /// No error may repeat it. Needs ``Capabilities/broken``.
        case broken(String)
    }

    /// A source under test.
    public struct Subject: Sendable {
        /// The source.
        public var source: any CredentialSource
        /// Replaces the content that the source finds.
        public var change: @Sendable (Content) async throws -> Void

        /// Creates a subject.
        /// - Parameters:
        ///   - source: The source.
        ///   - change: Replaces the content that the source finds; needed for ``Capabilities/changes``.
        public init(
            _ source: any CredentialSource, change: @escaping @Sendable (Content) async throws -> Void = { _ in }
        ) {
            self.source = source
            self.change = change
        }
    }

    /// A test case for one promise.
    public struct Case: Sendable, CustomTestStringConvertible {
        /// A description of the promise.
        public let testDescription: String
        let needs: Capabilities
        let body: @Sendable (WatchedCredentialFixture) async throws -> Void

        /// Runs the case. A case that takes longer than a minute fails, is cancelled and is not waited for.
        ///
        /// - Parameter fixture: The fixture for this run.
        /// - Throws: An error of the fixture or of the case, which fails the test.
        public func run(on fixture: some CredentialSourceFixture) async throws {
            let watched = WatchedCredentialFixture(base: fixture)
            try await runCase(within: .seconds(60), watched.runs, "withSource") { try await body(watched) }
        }
    }

    /// Returns the cases whose capabilities a fixture has.
    public static func cases<Fixture: CredentialSourceFixture>(for fixture: Fixture.Type) -> [Case] {
        all.filter { Fixture.capabilities.isSuperset(of: $0.needs) }
    }
}

/// A fixture that makes sources for ``CredentialSourceContract``.
public protocol CredentialSourceFixture: Sendable {
    /// The capabilities of the source.
    static var capabilities: CredentialSourceContract.Capabilities { get }

    /// The account whose credentials the cases ask for. The default is `contract`.
    var account: Account { get }

    /// Runs `body` with a source that finds `content`, and cleans up.
    /// - Parameters:
    ///   - content: The content that the source finds at first.
    ///   - body: A closure that takes the source under test.
    func withSource(
        _ content: CredentialSourceContract.Content,
        _ body: (CredentialSourceContract.Subject) async throws -> Void
    ) async throws
}

extension CredentialSourceFixture {
    /// The default account, `contract`.
    public var account: Account { "contract" }
}

/// A fixture that counts how often it runs the closure.
struct WatchedCredentialFixture: Sendable {
    let base: any CredentialSourceFixture
    let runs = Counter()

    func withSource(
        _ content: CredentialSourceContract.Content,
        _ body: (CredentialSourceContract.Subject) async throws -> Void
    ) async throws {
        try await base.withSource(content) { subject in
            runs.next()
            try await body(subject)
        }
    }
}

extension CredentialSourceContract {
    private static func credential(_ number: Int) -> Credential {
        Credential(clientID: Secret("sentinel-id-\(number)"), clientSecret: Secret("sentinel-secret-\(number)"))
    }

    /// Returns the number of each credential, found by comparing the credentials' values.
    private static func numbers(_ credentials: [Credential]) -> [String] {
        credentials.map { found in
            (1...9).first { credential($0) == found }.map(String.init)
                ?? "one that was never there (\(found.clientID.reveal()), \(found.clientSecret.reveal()))"
        }
    }

    private static func credentials(
        _ source: any CredentialSource, _ fixture: WatchedCredentialFixture
    ) async throws -> [Credential] {
        let account = fixture.base.account
        return try await ended("the credentials") { try await source.credentials(for: account) }
    }

    private static func expectSafe(_ value: Any, _ what: String) {
        var text = "\(value) \(String(reflecting: value))"
        dump(value, to: &text)
        if text.contains("sentinel") {
            Issue.record("expected \(what) without a client id, a secret or the content, found: \(text)")
        }
    }

    private static let all: [Case] = [
        Case(testDescription: "the credential that is there is returned", needs: []) { fixture in
            try await fixture.withSource(.credentials([credential(1)])) { subject in
                let source = subject.source
                try await expect(numbers(credentials(source, fixture)), ["1"], "the credentials")
                // Reading the credential does not use it up.
                try await expect(numbers(credentials(source, fixture)), ["1"], "the credentials, asked for again")
            }
        },
        Case(testDescription: "several credentials keep their order", needs: .several) { fixture in
            try await fixture.withSource(.credentials([credential(2), credential(1)])) { subject in
                let source = subject.source
                try await expect(numbers(credentials(source, fixture)), ["2", "1"], "the credentials")
            }
        },
        Case(testDescription: "nothing there is an empty array and no error", needs: .absent) { fixture in
            try await fixture.withSource(.absent) { subject in
                let source = subject.source
                try await expect(numbers(credentials(source, fixture)), [], "the credentials")
            }
        },
        Case(testDescription: "what cannot be used is an error that names the source", needs: .broken) { fixture in
            try await fixture.withSource(.broken("sentinel-broken")) { subject in
                let source = subject.source
                do {
                    let found = try await credentials(source, fixture)
                    Issue.record("expected a CredentialError, found \(found.count) credentials")
                } catch let error as CredentialError {
                    if error.source.isEmpty { Issue.record("expected an error that names its source, found none") }
                    if error.message.isEmpty { Issue.record("expected an error that says what is wrong, found none") }
                    expectSafe(error, "an error")
                }
            }
        },
        Case(testDescription: "nothing in the source's text is a secret", needs: []) { fixture in
            try await fixture.withSource(.credentials([credential(1)])) { subject in
                let source = subject.source
                _ = try await credentials(source, fixture)
                expectSafe(source, "a source as text")
                expectSafe(placesOfCredentials(in: source), "the places of a source")
            }
        },
        Case(testDescription: "a change takes effect, and an id never comes with another's secret", needs: .changes) {
            fixture in
            try await fixture.withSource(.credentials([credential(1)])) { subject in
                let (source, change) = (subject.source, subject.change)
                try await expect(numbers(credentials(source, fixture)), ["1"], "the credentials")
                for number in 2...4 {
                    try await change(.credentials([credential(number)]))
                    var last: [String] = []
                    let hasChanged = await eventually(within: .seconds(15)) {
                        guard let found = try? await credentials(source, fixture) else { return false }
                        last = numbers(found)
                        if last != ["\(number)"] && last != ["\(number - 1)"] {
                            Issue.record(
                                "expected credential \(number - 1) or \(number) during a change, found \(last)")
                            return true
                        }
                        return last == ["\(number)"]
                    }
                    if !hasChanged {
                        Issue.record("expected credential \(number) within 15 s of the change, found \(last)")
                    }
                }
            }
        },
        Case(testDescription: "a hundred callers at once get the same", needs: []) { fixture in
            try await fixture.withSource(.credentials([credential(1)])) { subject in
                let source = subject.source
                let account = fixture.base.account
                let found = try await ended("a hundred callers to return") {
                    try await withThrowingTaskGroup(of: [Credential].self) { group in
                        for _ in 0..<100 { group.addTask { try await source.credentials(for: account) } }
                        return try await group.reduce(into: []) { $0.append($1) }
                    }
                }
                for found in found { expect(numbers(found), ["1"], "the credentials of one of a hundred callers") }
            }
        },
    ]
}
