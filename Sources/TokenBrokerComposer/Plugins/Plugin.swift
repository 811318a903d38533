#if ConfigurationSupport
public import TokenBroker

/// A part that can be chosen by its id in a configuration file: the id, the keys it reads, and how to build it from their values.
///
/// ```swift
/// struct ShopOrdersKeys: ConfigurationKeys {
///     let url = ConfigurationKey("url", .url, "The service to ask.")
/// }
/// let orders = PolicyPlugin("shop-orders", "Asks the shop whose order it is.", keys: ShopOrdersKeys()) { context, values in
///     ShopOrders(url: values.url, transport: context.transport)
/// }
/// var registry = Registry.standard
/// try registry.register(orders)
/// ```
///
/// With it registered, `access: {policy: {kind: shop-orders, url: …}}` works like a built-in: its keys are checked, may be overridden from the
/// environment, and are named in errors. ``build(from:environment:context:registry:)`` builds it in a test.
public struct Plugin<Context: Sendable, Part: Sendable>: Sendable {
    /// What the file calls it.
    public let id: String
    /// What it is, in a sentence.
    public let summary: String
    /// The trait of this package that brings it; `nil` if it is always there.
    public let trait: String?
    /// What it reads; empty if it is ``missing``.
    public let keys: [KeyDocumentation]
    /// How to have it in the registry; `nil` if it is there.
    let missing: String?
    /// Reads the keys; hands back how to build the part, or `nil` if there were problems. `nil` if it is missing.
    let read: Read?

    typealias Build = @Sendable (Context) async throws -> Part
    typealias Read = @Sendable (ConfigurationReader, _ section: [String], Registry) -> Build?

    /// - Parameters:
    ///   - id: Lower case, words joined with `-`.
    ///   - summary: What it is, in a sentence.
    ///   - trait: The trait of this package that brings it.
    ///   - keys: What it reads.
    ///   - check: Throws a ``ConfigurationError/Problem`` if values are right by themselves and do not go together.
    ///   - build: Builds the part, from what was built before it and the values. What it throws stops the start. A
    ///     ``ConfigurationError/Problem`` is told with file, line and key, the text of a `SafeToLog` error is shown, and of others the type.
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

    /// One that reads no keys.
    public init(
        _ id: String, _ summary: String, trait: String? = nil,
        build: @escaping @Sendable (Context) async throws -> Part
    ) {
        self.init(id, summary, trait: trait, keys: NoKeys()) { context, _ in try await build(context) }
    }

    /// One that reads in a way of its own.
    init(_ id: String, _ summary: String, trait: String? = nil, keys: [KeyDocumentation], read: @escaping Read) {
        self.id = id
        self.summary = summary
        self.trait = trait
        self.keys = keys
        self.missing = nil
        self.read = read
    }

    /// Stands for one that an adapter brings, so that its id in a file is answered with what to do, and not as unknown.
    /// - Parameters:
    ///   - id: That of the plug-in.
    ///   - summary: What it is, in a sentence.
    ///   - trait: The trait of this package that would bring it.
    ///   - missing: How to have it in the registry.
    init(_ id: String, _ summary: String, trait: String, missing: String) {
        self.id = id
        self.summary = summary
        self.trait = trait
        self.keys = []
        self.missing = missing
        self.read = nil
    }

    /// Builds the part from a section of a file, for a test of the plug-in.
    /// - Parameters:
    ///   - text: The section's content, as YAML or JSON: `url: https://shop.example/orders`.
    ///   - environment: The variables that override it: `TOKEN_BROKER_URL` for `url`.
    ///   - context: What was built before it.
    ///   - registry: What the section can choose from, if it chooses.
    /// - Throws: ``ConfigurationError`` with everything that is wrong, as when a broker is composed.
    public func build(
        from text: String, environment: [String: String] = [:], context: Context, registry: Registry = .standard
    ) async throws(ConfigurationError) -> Part {
        let reader = ConfigurationReader(try BrokerConfiguration(text, environment: environment))
        let build = read?(reader, [], registry)
        if let missing { reader.note(.failed, [], message: missing) }
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

/// Builds a part, and says of what it throws as much as may be shown.
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
    /// Says of what `body` cannot use which key led to it.
    /// - Parameter key: Within the section; `nil` if the section is the key.
    package static func attributing<Value>(
        to key: String?, _ body: () throws(CredentialError) -> Value
    ) throws(ConfigurationError.Problem) -> Value {
        do throws(CredentialError) {
            return try body()
        } catch {
            throw unusable(key, error)
        }
    }

    /// What a key leads to cannot be used, such as a file with a secret.
    package static func unusable(_ key: String?, _ error: CredentialError) -> Self {
        Self(.failed, key: key, "it cannot be used: \(error.source): \(error.message)")
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
#endif
