#if ConfigurationSupport
public import Configuration
import FoundationEssentials

/// A configuration file and the environment variables that override it, parsed but not yet validated.
///
/// ```swift
/// let configuration = try BrokerConfiguration.load("broker.yaml")
/// let inATest = try BrokerConfiguration("vendor: {environment: demo}", environment: [:])
/// ```
///
/// An environment variable can override any key. Its name is `TOKEN_BROKER_` and the key in upper case, with an
/// underscore for each dot and between words: `TOKEN_BROKER_ROUTE_ALLOWED_ORIGINS` overrides `route.allowedOrigins`.
/// The elements of a list are separated by commas.
///
/// To read the keys from a `ConfigReader` of swift-configuration instead, use ``init(reader:name:environment:)``.
public struct BrokerConfiguration: Sendable {
    /// The configuration's name in errors.
    let name: String
    let root: ConfigurationNode
    /// The reader that replaces the file and the variables, if any.
    var reader: ConfigReader?
    let environment: [String: String]

    /// Parses a configuration.
    /// - Parameters:
    ///   - text: The configuration, as YAML or JSON.
    ///   - name: The configuration's name in errors.
    ///   - environment: The environment variables, which override keys and may hold secrets.
    /// - Throws: ``ConfigurationError`` with the line, if the text is neither YAML nor JSON.
    public init(
        _ text: String, name: String = "configuration", environment: [String: String]
    ) throws(ConfigurationError) {
        self.name = name
        self.root = try ConfigurationNode(parsing: text, name: name)
        self.environment = environment
    }

    /// Creates a configuration that takes its values from a swift-configuration reader, under the same keys, such as
    /// `server.port`.
    ///
    /// ```swift
    /// let file = try await FileProvider<JSONSnapshot>(filePath: "shop.json")
    /// let config = ConfigReader(providers: [EnvironmentVariablesProvider(), file])
    /// let broker = try await Composer(registry: registry)
    ///     .compose(BrokerConfiguration(reader: config.scoped(to: "tokenBroker")), logger: logger)
    /// ```
    ///
    /// A reader cannot list its keys. Unknown keys therefore go unnoticed, and errors name the key but no line. A map
    /// must be text that holds JSON. The policies `all` and `any`, whose members have names of your choice, need a
    /// file; without one, register a policy of your own that combines others.
    ///
    /// - Parameters:
    ///   - reader: A reader that is scoped to the broker's keys.
    ///   - name: The configuration's name in errors.
    ///   - environment: The environment variables in which the parts look for secrets; `nil` for those of the process.
    ///     They override no keys.
    public init(reader: ConfigReader, name: String = "configuration", environment: [String: String]? = nil) {
        self.name = name
        self.root = ConfigurationNode(line: 1, content: .map([]))
        self.environment = environment ?? ProcessInfo.processInfo.environment
        self.reader = reader
    }

    /// Reads a configuration file of at most 256 KiB.
    /// - Parameters:
    ///   - path: The path of the file; `nil` for the one that `TOKEN_BROKER_CONFIG` names.
    ///   - environment: The environment variables; `nil` for those of the process.
    /// - Throws: ``ConfigurationError`` if no file is named, or if it cannot be read or is neither YAML nor JSON.
    public static func load(
        _ path: String? = nil, environment: [String: String]? = nil
    ) throws(ConfigurationError) -> BrokerConfiguration {
        let environment = environment ?? ProcessInfo.processInfo.environment
        guard let path = path ?? environment[fileVariable], !path.isEmpty else {
            throw ConfigurationError([
                .init(
                    .missing, place: fileVariable,
                    message: "expected the path of a configuration file, found nothing")
            ])
        }
        return try BrokerConfiguration(configurationText(path: path), name: path, environment: environment)
    }

    /// The environment variable that names the file.
    static let fileVariable = "TOKEN_BROKER_CONFIG"
}

extension BrokerConfiguration: CustomStringConvertible, CustomReflectable {
    /// The configuration's name only: the environment holds secrets, and a file may hold one by mistake.
    public var description: String { "configuration \(name)" }
    /// An empty mirror, which reveals no secret.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}
#endif
