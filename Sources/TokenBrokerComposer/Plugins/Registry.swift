#if ConfigurationSupport
public import TokenBroker

/// The plug-ins and vendors that a configuration can choose from, by id.
///
/// A registry is a value: registering a plug-in changes only this copy.
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
    private(set) var fleetStores: [String: FleetStorePlugin] = [:]
    /// The hash that pseudonymizes principals in the log; `nil` if there is none.
    private(set) var keyedHash: (any KeyedHash)?
    /// Creates the sealing of a fleet from its keys; `nil` if there is none.
    private(set) var sealing: (@Sendable ([Secret]) throws -> any Sealing)?

    /// Creates an empty registry.
    public init() {}

    // MARK: Adding

    /// Adds a transport.
    /// - Throws: ``DuplicateID`` if its id is already registered.
    public mutating func register(_ plugin: TransportPlugin) throws(DuplicateID) {
        try check(plugin, transports)
        replace(plugin)
    }
    /// Adds a source of credentials.
    /// - Throws: ``DuplicateID`` if its id is already registered.
    public mutating func register(_ plugin: CredentialPlugin) throws(DuplicateID) {
        try check(plugin, credentialSources)
        replace(plugin)
    }
    /// Adds a signer of client assertions.
    /// - Throws: ``DuplicateID`` if its id is already registered.
    public mutating func register(_ plugin: AssertionSignerPlugin) throws(DuplicateID) {
        try check(plugin, assertionSigners)
        replace(plugin)
    }
    /// Adds an authenticator.
    /// - Throws: ``DuplicateID`` if its id is already registered.
    public mutating func register(_ plugin: AuthenticatorPlugin) throws(DuplicateID) {
        try check(plugin, authenticators)
        replace(plugin)
    }
    /// Adds a policy.
    /// - Throws: ``DuplicateID`` if its id is already registered.
    public mutating func register(_ plugin: PolicyPlugin) throws(DuplicateID) {
        try check(plugin, policies)
        replace(plugin)
    }
    /// Adds a store for fleets.
    /// - Throws: ``DuplicateID`` if its id is already registered.
    public mutating func register(_ plugin: FleetStorePlugin) throws(DuplicateID) {
        try check(plugin, fleetStores)
        replace(plugin)
    }
    /// Adds a vendor.
    /// - Throws: ``DuplicateID`` if its id is already registered.
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

    /// Adds a transport, and replaces the one with the same id, if any.
    public mutating func replace(_ plugin: TransportPlugin) { transports[plugin.id] = plugin }
    /// Adds a source of credentials, and replaces the one with the same id, if any.
    public mutating func replace(_ plugin: CredentialPlugin) { credentialSources[plugin.id] = plugin }
    /// Adds a signer of client assertions, and replaces the one with the same id, if any.
    public mutating func replace(_ plugin: AssertionSignerPlugin) { assertionSigners[plugin.id] = plugin }
    /// Adds an authenticator, and replaces the one with the same id, if any.
    public mutating func replace(_ plugin: AuthenticatorPlugin) { authenticators[plugin.id] = plugin }
    /// Adds a policy, and replaces the one with the same id, if any.
    public mutating func replace(_ plugin: PolicyPlugin) { policies[plugin.id] = plugin }
    /// Adds a store for fleets, and replaces the one with the same id, if any.
    public mutating func replace(_ plugin: FleetStorePlugin) { fleetStores[plugin.id] = plugin }
    /// Adds a vendor, and replaces the one with the same id, if any.
    public mutating func replace(_ profile: VendorProfile) { profiles[profile.id] = profile }
    /// Sets the hash that pseudonymizes principals in the log, with the key of the section `audit`.
    public mutating func replace(_ hash: some KeyedHash) { keyedHash = hash }

    /// Sets what seals the entries of a fleet's store.
    /// - Parameter sealing: Creates a sealing from the keys in `fleet.keyFile`. It throws a `SafeToLog` error for keys
    ///   that it cannot use.
    public mutating func replaceSealing(_ sealing: @escaping @Sendable ([Secret]) throws -> any Sealing) {
        self.sealing = sealing
    }

    /// An error for a plug-in or vendor whose id is already registered.
    public struct DuplicateID: SafeToLog, Sendable, Hashable {
        /// The duplicate id.
        public var id: String
        /// A description that is safe to log.
        public var description: String {
            "a plug-in with the id \(id) is already registered; to replace it, use replace(_:)"
        }
    }
}

/// Returns the ids that a configuration can choose, sorted, without those that the program does not include.
func available<Context, Part>(_ plugins: [String: Plugin<Context, Part>]) -> [String] {
    plugins.filter { $0.value.read != nil }.keys.sorted()
}
#endif
