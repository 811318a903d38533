#if ConfigurationSupport
public import Configuration
import FoundationEssentials

/// A configuration file and the environment that overrides it, not yet looked into.
///
/// ```swift
/// let configuration = try BrokerConfiguration.load("broker.yaml")
/// let inATest = try BrokerConfiguration("vendor: {environment: demo}", environment: [:])
/// ```
///
/// Every key can be overridden by a variable: `TOKEN_BROKER_` and the key in upper case, an underscore for each
/// dot and between the words. `route.allowedOrigins` is `TOKEN_BROKER_ROUTE_ALLOWED_ORIGINS`, its elements
/// separated by commas.
///
/// A program that has a `ConfigReader` of swift-configuration makes it from that, see ``init(reader:name:environment:)``.
public struct BrokerConfiguration: Sendable {
    /// What errors call the file.
    let name: String
    let root: ConfigurationNode
    /// What is asked instead of file and variables.
    var reader: ConfigReader?
    let environment: [String: String]

    /// - Parameters:
    ///   - text: YAML or JSON.
    ///   - name: What to call the text in errors.
    ///   - environment: The variables that override it.
    /// - Throws: ``ConfigurationError`` if it is neither YAML nor JSON, with the line.
    public init(
        _ text: String, name: String = "configuration", environment: [String: String]
    ) throws(ConfigurationError) {
        self.name = name
        self.root = try ConfigurationNode(parsing: text, name: name)
        self.environment = environment
    }

    /// A configuration that a reader of swift-configuration has, from whatever it reads: `server.port` is its key `server.port`.
    ///
    /// ```swift
    /// let config = ConfigReader(providers: [EnvironmentVariablesProvider(), try await FileProvider<JSONSnapshot>(filePath: "shop.json")])
    /// let broker = try await Composer(registry: registry)
    ///     .compose(BrokerConfiguration(reader: config.scoped(to: "tokenBroker")), logger: logger)
    /// ```
    ///
    /// A reader can be asked and cannot be listed. So keys that nobody reads are not noticed, errors name the key and no line, a map is written as
    /// JSON in text, and `all` and `any`, whose members have names of your choice, need a file or a policy of your own.
    /// - Parameters:
    ///   - reader: Scoped to where the keys of the broker are.
    ///   - name: What to call it in errors.
    ///   - environment: The variables that the parts find their secrets in, instead of the process's. They override nothing.
    public init(reader: ConfigReader, name: String = "configuration", environment: [String: String]? = nil) {
        self.name = name
        self.root = ConfigurationNode(line: 1, content: .map([]))
        self.environment = environment ?? ProcessInfo.processInfo.environment
        self.reader = reader
    }

    /// Reads a file of at most 256 KiB.
    /// - Parameters:
    ///   - path: The file; without it, the one that `TOKEN_BROKER_CONFIG` names.
    ///   - environment: The variables that override it, instead of the process's.
    /// - Throws: ``ConfigurationError`` if it cannot be read, or is neither YAML nor JSON.
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

    /// The variable that names the file.
    static let fileVariable = "TOKEN_BROKER_CONFIG"
}

extension BrokerConfiguration: CustomStringConvertible, CustomReflectable {
    /// Its name only: the environment holds secrets, and a file may by mistake.
    public var description: String { "configuration \(name)" }
    /// Empty.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}
#endif
