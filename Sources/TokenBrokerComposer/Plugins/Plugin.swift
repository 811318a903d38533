#if ConfigurationSupport
public import TokenBroker

/// A part that a configuration file can choose by its id: the id, the keys that it reads, and a closure that builds it
/// from their values.
///
/// ```swift
/// struct ShopOrdersKeys: ConfigurationKeys {
///     let url = ConfigurationKey("url", .url, "The URL of the service.")
/// }
/// let orders = PolicyPlugin(
///     "shop-orders", "Asks the shop who owns the order.", keys: ShopOrdersKeys()
/// ) { context, values in
///     ShopOrders(url: values.url, transport: context.transport)
/// }
/// var registry = Registry.standard
/// try registry.register(orders)
/// ```
///
/// Once it is registered, `access: {policy: {kind: shop-orders, url: …}}` works like a built-in policy: its keys are
/// checked, can be overridden from the environment, and are named in errors. In a test,
/// ``build(from:environment:context:registry:)`` builds the part.
public struct Plugin<Context: Sendable, Part: Sendable>: Sendable {
    /// The id in a configuration file.
    public let id: String
    /// A description, in a sentence.
    public let summary: String
    /// The trait of this package that provides the plug-in; `nil` if it needs none.
    public let trait: String?
    /// The keys that the plug-in reads; empty if the program does not include it.
    public let keys: [KeyDocumentation]
    /// How to add the plug-in to the registry, as a clause; `nil` if the program includes it.
    let remedy: String?
    /// Reads the keys and returns a closure that builds the part, or `nil` if there are problems. The property is `nil`
    /// if the program does not include the plug-in.
    let read: Read?

    typealias Build = @Sendable (Context) async throws -> Part
    typealias Read = @Sendable (ConfigurationReader, _ section: [String], Registry) -> Build?

    /// Creates a plug-in that reads keys.
    /// - Parameters:
    ///   - id: The id, in lower case, with `-` between words.
    ///   - summary: A description, in a sentence.
    ///   - trait: The trait of this package that provides the plug-in, if any.
    ///   - keys: The keys that the plug-in reads.
    ///   - check: Throws a ``ConfigurationError/Problem`` if values that are valid individually conflict with each
    ///     other.
    ///   - build: Builds the part from the context and the values. An error that it throws stops the start: a
    ///     ``ConfigurationError/Problem`` is reported with file, line and key, an error that is `SafeToLog` with its
    ///     text, and any other error with its type only.
    public init<Keys: ConfigurationKeys>(
        _ id: String, _ summary: String, trait: String? = nil, keys: Keys,
        check: (@Sendable (ConfigurationValues<Keys>) throws(ConfigurationError.Problem) -> Void)? = nil,
        build: @escaping @Sendable (Context, ConfigurationValues<Keys>) async throws -> Part
    ) {
        self.init(id, summary, trait: trait, keys: keys.documentation) { reader, section, _ in
            guard let values = reader.read(keys, in: section) else { return nil }
            do throws(ConfigurationError.Problem) {
                try check?(values)
            } catch {
                reader.note(error, in: section)
                return nil
            }
            return { context in try await build(context, values) }
        }
    }

    /// Creates a plug-in that reads no keys.
    /// - Parameters:
    ///   - id: The id, in lower case, with `-` between words.
    ///   - summary: A description, in a sentence.
    ///   - trait: The trait of this package that provides the plug-in, if any.
    ///   - build: Builds the part from the context. An error that it throws stops the start.
    public init(
        _ id: String, _ summary: String, trait: String? = nil,
        build: @escaping @Sendable (Context) async throws -> Part
    ) {
        self.init(id, summary, trait: trait, keys: NoKeys()) { context, _ in try await build(context) }
    }

    /// Creates a plug-in that reads its section in its own way.
    init(_ id: String, _ summary: String, trait: String? = nil, keys: [KeyDocumentation], read: @escaping Read) {
        self.id = id
        self.summary = summary
        self.trait = trait
        self.keys = keys
        self.remedy = nil
        self.read = read
    }

    /// Creates a placeholder for a plug-in that an adapter provides. If a file uses its id, the error says how to add
    /// the plug-in rather than that the id is unknown.
    /// - Parameters:
    ///   - id: The id of the plug-in.
    ///   - summary: A description, in a sentence.
    ///   - trait: The trait of this package that provides the plug-in.
    ///   - remedy: How to add the plug-in to the registry, as a clause.
    init(_ id: String, _ summary: String, trait: String, remedy: String) {
        self.id = id
        self.summary = summary
        self.trait = trait
        self.keys = []
        self.remedy = remedy
        self.read = nil
    }

    /// Builds the part from the content of its section, for a test of the plug-in.
    /// - Parameters:
    ///   - text: The content of the section, as YAML or JSON: `url: https://shop.example/orders`.
    ///   - environment: The environment variables that override its keys: `TOKEN_BROKER_URL` for `url`.
    ///   - context: The values from which the part is built.
    ///   - registry: The plug-ins that the section can choose from, if it chooses any.
    /// - Throws: ``ConfigurationError`` with everything that is wrong, as a composer does.
    public func build(
        from text: String, environment: [String: String] = [:], context: Context, registry: Registry = .standard
    ) async throws(ConfigurationError) -> Part {
        let reader = ConfigurationReader(try BrokerConfiguration(text, environment: environment))
        let build = read?(reader, [], registry)
        if let remedy { reader.note(.failed, [], message: remedy) }
        reader.finish()
        guard reader.problems.isEmpty, let build else { throw ConfigurationError(reader.problems) }
        do throws(ConfigurationError.Problem) {
            return try await building { try await build(context) }
        } catch {
            reader.note(error, in: [])
            throw ConfigurationError(reader.problems)
        }
    }
}

/// Builds a part. Any error becomes a problem that contains only what is safe to show.
func building<Part>(_ build: () async throws -> Part) async throws(ConfigurationError.Problem) -> Part {
    do {
        return try await build()
    } catch let problem as ConfigurationError.Problem {
        throw problem
    } catch {
        throw ConfigurationError.Problem(.failed, "it cannot be built: \(loggable(error))")
    }
}

extension ConfigurationError.Problem {
    /// Runs a closure, and attributes its error to a key.
    /// - Parameter key: The key within the section; `nil` if the section itself is the key.
    package static func attributing<Value>(
        to key: String?, _ body: () throws(CredentialError) -> Value
    ) throws(ConfigurationError.Problem) -> Value {
        do throws(CredentialError) {
            return try body()
        } catch {
            throw unusable(key, error)
        }
    }

    /// Returns the problem of a key that refers to something unusable, such as a file with a secret.
    package static func unusable(_ key: String?, _ error: CredentialError) -> Self {
        Self(.failed, key: key, "it cannot be used: \(error.source): \(error.message)")
    }
}

/// A plug-in that builds a transport, which sends requests to other servers.
public typealias TransportPlugin = Plugin<TransportContext, any HTTPTransport>
/// A plug-in that builds a source of credentials, which loads the client id and secret.
public typealias CredentialPlugin = Plugin<CredentialContext, any CredentialSource>
/// A plug-in that builds a signer of client assertions, with which the client authenticates.
public typealias AssertionSignerPlugin = Plugin<AssertionSignerContext, any ClientAssertionSigner>
/// A plug-in that builds the store that the processes of a fleet share.
public typealias FleetStorePlugin = Plugin<FleetStoreContext, any SharedStore>
/// A plug-in that builds an authenticator, which identifies the caller.
public typealias AuthenticatorPlugin = Plugin<AccessContext, any Authenticator>
/// A plug-in that builds an access policy, which decides whether the caller may get a token.
public typealias PolicyPlugin = Plugin<AccessContext, any AccessPolicy>
#endif
