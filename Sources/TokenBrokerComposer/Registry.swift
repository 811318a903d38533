#if ConfigurationSupport
public import FoundationEssentials
public import Logging
public import TokenBroker

/// A part that can be chosen by its id in a configuration file: the id, the keys it reads, and how to build it
/// from their values.
///
/// ```swift
/// let orders = PolicyPlugin(
///     "shop-orders", "Asks the shop whose order it is.",
///     keys: ConfigurationKey("url", .text, "Where to ask.")
/// ) { context, url in
///     ShopOrders(url: url, transport: context.transport)
/// }
/// var registry = Registry.standard
/// registry.register(orders)
/// ```
///
/// With it registered, `access: {policy: {kind: shop-orders, url: …}}` works like a built-in: its keys are
/// checked, may be overridden from the environment, and are named in errors.
public struct Plugin<Context: Sendable, Part: Sendable>: Sendable {
    /// What the file calls it.
    public let id: String
    /// What it is, in a sentence.
    public let summary: String
    /// The trait of this package that brings it; `nil` if it is always there.
    public let trait: String?
    /// What it reads; empty without its trait.
    public let keys: [KeyDocumentation]
    /// Reads the keys; hands back how to build the part, or `nil` if there were problems. `nil` without its trait.
    let read: Read?

    typealias Build = @Sendable (Context) async throws -> Part
    typealias Read = @Sendable (ConfigurationReader, _ section: [String], Registry) -> Build?

    /// - Parameters:
    ///   - id: Lower case, words joined with `-`.
    ///   - summary: What it is, in a sentence.
    ///   - trait: The trait of this package that brings it.
    ///   - keys: What it reads, in the order in which `build` takes the values.
    ///   - check: What is wrong with values that are right by themselves and do not go together, if anything.
    ///   - build: Builds the part, from what was built before it and the values. What it throws stops the start;
    ///     only errors of this package are shown, of others the type.
    public init<each Value: Sendable>(
        _ id: String, _ summary: String, trait: String? = nil, keys: repeat ConfigurationKey<each Value>,
        check: (@Sendable (repeat each Value) -> KeyConflict?)? = nil,
        build: @escaping @Sendable (Context, repeat each Value) async throws -> Part
    ) {
        self.id = id
        self.summary = summary
        self.trait = trait
        var documentation: [KeyDocumentation] = []
        for key in repeat each keys { documentation.append(key.documentation) }
        self.keys = documentation
        self.read = { reader, section, _ in
            guard let values = reader.read(plugin: section, keys: repeat each keys) else { return nil }
            if let conflict = check?(repeat each values) {
                reader.note(.conflict, section + [conflict.key], message: conflict.message)
                return nil
            }
            return { context in try await build(context, repeat each values) }
        }
    }

    /// One that reads in a way of its own.
    init(_ id: String, _ summary: String, trait: String? = nil, keys: [KeyDocumentation], read: @escaping Read) {
        self.id = id
        self.summary = summary
        self.trait = trait
        self.keys = keys
        self.read = read
    }

    /// Stands for a plug-in whose trait is off, so that an id in a file that is right elsewhere is answered with
    /// the trait and not as unknown.
    /// - Parameters:
    ///   - id: That of the plug-in.
    ///   - summary: What it is, in a sentence.
    ///   - trait: The trait of this package that would bring it.
    public init(_ id: String, _ summary: String, missingTrait trait: String) {
        self.id = id
        self.summary = summary
        self.trait = trait
        self.keys = []
        self.read = nil
    }
}

/// Values of a section that do not go together.
public struct KeyConflict: Sendable, Hashable {
    /// The key to name, within the section.
    public var key: String
    /// What was expected and what was found, without values.
    public var message: String

    /// All members, in their order of declaration.
    public init(_ key: String, _ message: String) {
        self.key = key
        self.message = message
    }
}

/// Reaches other servers.
public typealias TransportPlugin = Plugin<TransportContext, any HTTPTransport>
/// Finds the client id and secret.
public typealias CredentialPlugin = Plugin<CredentialContext, any CredentialSource>
/// Signs what the client proves itself with.
public typealias AssertionSignerPlugin = Plugin<AssertionSignerContext, any ClientAssertionSigner>
/// Finds out who asks.
public typealias AuthenticatorPlugin = Plugin<AccessContext, any Authenticator>
/// Decides who may have a token.
public typealias PolicyPlugin = Plugin<AccessContext, any AccessPolicy>

/// What is there when a transport is built.
public struct TransportContext: Sendable {
    /// For what the part has to say.
    public let logger: Logger
    /// `transport.timeout`: no call is given more time than this.
    public let timeout: Duration
    /// The variables of the process, or what stands in for them in a test. They may hold secrets.
    public let environment: [String: String]
}

extension TransportContext: CustomReflectable {
    /// Without content, since the environment may hold secrets.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

/// What is there when a source of credentials is built.
public struct CredentialContext: Sendable {
    /// For what the part has to say.
    public let logger: Logger
    /// For sources that ask a server.
    public let transport: any HTTPTransport
    /// The vendor that the credentials are for.
    public let profile: VendorProfile
    /// Whether the client has a secret: not so with `tls_client_auth`, where an id alone is a whole credential.
    public let needsSecret: Bool
    /// Measures how long something counts.
    public let clock: any Clock<Duration>
    /// For absolute times.
    public let wallClock: @Sendable () -> Date
    /// The variables of the process, or what stands in for them in a test. They may hold secrets.
    public let environment: [String: String]
}

extension CredentialContext: CustomReflectable {
    /// Without content, since the environment may hold secrets.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

/// What is there when a signer of client assertions is built.
public struct AssertionSignerContext: Sendable {
    /// For what the part has to say.
    public let logger: Logger
    /// For those that ask a server, such as a key management service.
    public let transport: any HTTPTransport
}

/// What is there when an authenticator or a policy is built.
public struct AccessContext: Sendable {
    /// For what the part has to say.
    public let logger: Logger
    /// For those that ask a server. Calls with the vendor's ``TransportOptions/account`` keep to its rate limit, others are sent at once.
    public let transport: any HTTPTransport
    /// For those that ask the vendor: access tokens for its API.
    public let accessTokens: any TokenProvider
    /// The vendor at the address that is used.
    public let vendor: Vendor
    /// For a call to the vendor: it is of no use later than the answer has to be given.
    public let timeout: Duration
    /// The variables of the process, or what stands in for them in a test. They may hold secrets.
    public let environment: [String: String]
    /// Measures lifetimes.
    public let clock: any Clock<Duration>
    /// Only for absolute times.
    public let wallClock: @Sendable () -> Date
}

extension AccessContext: CustomReflectable {
    /// Without content, since the environment may hold secrets.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

/// Everything that a configuration can choose from, by id. A value: registering changes only this copy.
public struct Registry: Sendable {
    private(set) var transports: [String: TransportPlugin] = [:]
    private(set) var credentialSources: [String: CredentialPlugin] = [:]
    private(set) var assertionSigners: [String: AssertionSignerPlugin] = [:]
    private(set) var authenticators: [String: AuthenticatorPlugin] = [:]
    private(set) var policies: [String: PolicyPlugin] = [:]
    private(set) var profiles: [String: VendorProfile] = [:]

    /// Nothing in it.
    public init() {}

    /// Adds a transport, or replaces the one with its id.
    public mutating func register(_ plugin: TransportPlugin) { transports[plugin.id] = plugin }
    /// Adds a source of credentials, or replaces the one with its id.
    public mutating func register(_ plugin: CredentialPlugin) { credentialSources[plugin.id] = plugin }
    /// Adds a signer of client assertions, or replaces the one with its id.
    public mutating func register(_ plugin: AssertionSignerPlugin) { assertionSigners[plugin.id] = plugin }
    /// Adds an authenticator, or replaces the one with its id.
    public mutating func register(_ plugin: AuthenticatorPlugin) { authenticators[plugin.id] = plugin }
    /// Adds a policy, or replaces the one with its id.
    public mutating func register(_ plugin: PolicyPlugin) { policies[plugin.id] = plugin }
    /// Adds a vendor, or replaces the one with its id.
    public mutating func register(_ profile: VendorProfile) { profiles[profile.id] = profile }
}

/// The ids that a configuration can choose, in order: not those whose trait is off.
func available<Context, Part>(_ plugins: [String: Plugin<Context, Part>]) -> [String] {
    plugins.filter { $0.value.read != nil }.keys.sorted()
}
#endif
