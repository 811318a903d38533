#if ConfigurationSupport
public import TokenBroker

/// Everything that a configuration can choose from, by id. A value: registering changes only this copy.
///
/// ```swift
/// var registry = Registry.standard
/// try registry.register(.curl)        // import CurlTransport
/// try registry.register(myPolicy)
/// ```
public struct Registry: Sendable {
    private(set) var transports: [String: TransportPlugin] = [:]
    private(set) var credentialSources: [String: CredentialPlugin] = [:]
    private(set) var assertionSigners: [String: AssertionSignerPlugin] = [:]
    private(set) var authenticators: [String: AuthenticatorPlugin] = [:]
    private(set) var policies: [String: PolicyPlugin] = [:]
    private(set) var profiles: [String: VendorProfile] = [:]
    /// What hashes principals for the log; `nil` without any.
    private(set) var keyedHash: (any KeyedHash)?

    /// Nothing in it.
    public init() {}

    // MARK: Adding

    /// Adds a transport.
    /// - Throws: ``DuplicateID`` if there is one of its id.
    public mutating func register(_ plugin: TransportPlugin) throws(DuplicateID) {
        try check(plugin, transports)
        replace(plugin)
    }
    /// Adds a source of credentials.
    /// - Throws: ``DuplicateID`` if there is one of its id.
    public mutating func register(_ plugin: CredentialPlugin) throws(DuplicateID) {
        try check(plugin, credentialSources)
        replace(plugin)
    }
    /// Adds a signer of client assertions.
    /// - Throws: ``DuplicateID`` if there is one of its id.
    public mutating func register(_ plugin: AssertionSignerPlugin) throws(DuplicateID) {
        try check(plugin, assertionSigners)
        replace(plugin)
    }
    /// Adds an authenticator.
    /// - Throws: ``DuplicateID`` if there is one of its id.
    public mutating func register(_ plugin: AuthenticatorPlugin) throws(DuplicateID) {
        try check(plugin, authenticators)
        replace(plugin)
    }
    /// Adds a policy.
    /// - Throws: ``DuplicateID`` if there is one of its id.
    public mutating func register(_ plugin: PolicyPlugin) throws(DuplicateID) {
        try check(plugin, policies)
        replace(plugin)
    }
    /// Adds a vendor.
    /// - Throws: ``DuplicateID`` if there is one of its id.
    public mutating func register(_ profile: VendorProfile) throws(DuplicateID) {
        guard profiles[profile.id] == nil else { throw DuplicateID(id: profile.id) }
        replace(profile)
    }

    private func check<Context, Part>(
        _ plugin: Plugin<Context, Part>, _ plugins: [String: Plugin<Context, Part>]
    ) throws(DuplicateID) {
        guard plugins[plugin.id]?.read == nil else { throw DuplicateID(id: plugin.id) }
    }

    // MARK: Replacing

    /// Adds a transport, in place of the one with its id.
    public mutating func replace(_ plugin: TransportPlugin) { transports[plugin.id] = plugin }
    /// Adds a source of credentials, in place of the one with its id.
    public mutating func replace(_ plugin: CredentialPlugin) { credentialSources[plugin.id] = plugin }
    /// Adds a signer of client assertions, in place of the one with its id.
    public mutating func replace(_ plugin: AssertionSignerPlugin) { assertionSigners[plugin.id] = plugin }
    /// Adds an authenticator, in place of the one with its id.
    public mutating func replace(_ plugin: AuthenticatorPlugin) { authenticators[plugin.id] = plugin }
    /// Adds a policy, in place of the one with its id.
    public mutating func replace(_ plugin: PolicyPlugin) { policies[plugin.id] = plugin }
    /// Adds a vendor, in place of the one with its id.
    public mutating func replace(_ profile: VendorProfile) { profiles[profile.id] = profile }
    /// Sets what hashes principals for the log, with the key of the section `audit`.
    public mutating func replace(_ hash: some KeyedHash) { keyedHash = hash }

    /// Two plug-ins of a kind have the same id.
    public struct DuplicateID: SafeToLog, Sendable, Hashable {
        /// The id.
        public var id: String
        /// Safe to log.
        public var description: String {
            "there is a plug-in of the id \(id) already; replace(_:) puts another one in its place"
        }
    }
}

/// The ids that a configuration can choose, in order: not those that are missing.
func available<Context, Part>(_ plugins: [String: Plugin<Context, Part>]) -> [String] {
    plugins.filter { $0.value.read != nil }.keys.sorted()
}
#endif
